import { DollarOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Dropdown } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Price } from "../../api/schema";
import { ConfirmName } from "../../parts/ConfirmName";
import { DataTable } from "../../parts/DataTable";
import { Head } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { useUrl } from "../../parts/url";
import { useAction } from "../../queries/action";
import { usePaging } from "../../queries/list";
import { pricePageQuery } from "../../queries/prices";
import { useMay } from "../../queries/session";
import { PriceDialog } from "./PriceDialog";

/** What models' tokens cost; requests from now on are counted by it. */
export function Prices() {
  const { t } = useTranslation();
  const may = useMay();
  const [creating, setCreating] = useUrl("create");
  const [editing, setEditing] = useState<Price | null>(null);
  const [removing, setRemoving] = useState<Price | null>(null);
  const { search, offset, limit } = usePaging();
  const listing = useQuery(pricePageQuery({ search, offset, limit }));
  const currency = listing.data?.currency ?? "";
  const remove = useAction((model: string) => need(api.DELETE("/api/v1/prices/{model}", { params: { path: { model } } })), ["price"], { silent: true });
  const create = may("price:write") && <Button type="primary" icon={<PlusOutlined />} onClick={() => setCreating("1")}>{t("prices.create")}</Button>;
  const amount = (value: number | null | undefined) => (value === null || value === undefined ? <span className="quiet">{t("prices.asInput")}</span> : `${value} ${currency}`);
  return (
    <div className="page">
      <Head title={t("nav.prices")} sub={t("prices.sub")} actions={create} />
      <DataTable<Price>
        name="prices"
        listing={listing}
        rowKey={(price) => price.model}
        columns={[
          { key: "model", title: t("prices.model"), render: (_, price) => <span className="strong">{price.model}</span> },
          { key: "input", title: t("prices.input"), number: true, render: (_, price) => amount(price.input) },
          { key: "cached", title: t("prices.cached"), number: true, render: (_, price) => amount(price.cached_input) },
          { key: "output", title: t("prices.output"), number: true, render: (_, price) => amount(price.output) },
          { key: "since", title: t("prices.since"), render: (_, price) => <Time at={price.set_at} /> },
          { key: "by", title: t("keys.by"), optional: true, render: (_, price) => price.set_by ?? "–" },
          {
            key: "actions",
            title: "",
            render: (_, price) =>
              may("price:write") && (
                <Dropdown trigger={["click"]} menu={{ items: [{ key: "edit", label: t("action.edit"), onClick: () => setEditing(price) }, { key: "remove", danger: true, label: t("action.remove"), onClick: () => setRemoving(price) }] }}>
                  <Button size="small" type="text" aria-label={`${t("action.more")} ${price.model}`}>⋯</Button>
                </Dropdown>
              ),
          },
        ]}
        empty={{ icon: <DollarOutlined />, title: t("prices.none"), text: t("prices.noneText"), action: create }}
      />
      <PriceDialog key={editing?.model ?? "new"} open={creating !== "" || editing !== null} editing={editing} currency={currency} onClose={() => { setCreating(""); setEditing(null); }} />
      <ConfirmName open={removing !== null} name={removing?.model ?? ""} title={t("prices.removeTitle", { name: removing?.model ?? "" })} consequence={t("prices.removeText")} action={t("action.remove")} onConfirm={() => remove.mutateAsync(removing?.model ?? "")} onClose={() => setRemoving(null)} />
    </div>
  );
}
