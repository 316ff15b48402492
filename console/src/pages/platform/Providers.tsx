import { GlobalOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Dropdown, Tag } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Provider } from "../../api/schema";
import { ConfirmName } from "../../parts/ConfirmName";
import { DataTable } from "../../parts/DataTable";
import { Head } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { useUrl } from "../../parts/url";
import { useAction } from "../../queries/action";
import { usePaging } from "../../queries/list";
import { providerPageQuery } from "../../queries/routes";
import { useMay } from "../../queries/session";
import { ProviderDialog } from "./ProviderDialog";

/** Outside providers that routes may lead to. */
export function Providers() {
  const { t } = useTranslation();
  const may = useMay();
  const [creating, setCreating] = useUrl("create");
  const [editing, setEditing] = useState<Provider | null>(null);
  const [removing, setRemoving] = useState<Provider | null>(null);
  const listing = useQuery(providerPageQuery(usePaging()));
  const remove = useAction((name: string) => need(api.DELETE("/api/v1/providers/{name}", { params: { path: { name } } })), ["provider"], { silent: true });
  const create = may("provider:write") && <Button type="primary" icon={<PlusOutlined />} onClick={() => setCreating("1")}>{t("providers.create")}</Button>;
  return (
    <div className="page">
      <Head title={t("nav.providers")} sub={t("providers.sub")} actions={create} />
      <DataTable<Provider>
        name="providers"
        listing={listing}
        rowKey={(provider) => provider.id}
        columns={[
          { key: "name", title: t("providers.name"), sort: true, render: (_, provider) => <span className="strong">{provider.name}</span> },
          { key: "base_url", title: t("services.address"), sort: true, render: (_, provider) => <span className="mono small">{provider.base_url}</span> },
          { key: "models", title: t("keys.models"), render: (_, provider) => <span className="row wrap" style={{ gap: 4, maxWidth: 320 }}>{provider.models.map((name) => <Tag key={name} style={{ margin: 0 }}>{name}</Tag>)}</span> },
          { key: "credential", title: t("providers.credential"), render: (_, provider) => t(provider.has_credential ? "providers.kept" : "providers.none") },
          { key: "created_at", title: t("keys.created"), sort: true, render: (_, provider) => <Time at={provider.created_at} /> },
          {
            key: "actions",
            title: "",
            render: (_, provider) =>
              may("provider:write") && (
                <Dropdown trigger={["click"]} menu={{ items: [{ key: "edit", label: t("action.edit"), onClick: () => setEditing(provider) }, { key: "delete", danger: true, label: t("action.delete"), onClick: () => setRemoving(provider) }] }}>
                  <Button size="small" type="text" aria-label={`${t("action.more")} ${provider.name}`}>⋯</Button>
                </Dropdown>
              ),
          },
        ]}
        empty={{ icon: <GlobalOutlined />, title: t("providers.emptyTitle"), text: t("providers.emptyText"), action: create }}
      />
      <ProviderDialog key={editing?.id ?? "new"} open={creating !== "" || editing !== null} editing={editing} onClose={() => { setCreating(""); setEditing(null); }} />
      <ConfirmName open={removing !== null} onClose={() => setRemoving(null)} name={removing?.name ?? ""} title={t("providers.deleteTitle", { name: removing?.name })} consequence={t("providers.deleteText")} action={t("action.delete")} onConfirm={() => remove.mutateAsync(removing?.name ?? "")} />
    </div>
  );
}
