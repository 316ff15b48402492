import { BranchesOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Dropdown } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Destination, Route } from "../../api/schema";
import { ConfirmName } from "../../parts/ConfirmName";
import { DataTable } from "../../parts/DataTable";
import { labelOf } from "../../parts/destinations";
import { Head } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { useUrl } from "../../parts/url";
import { useAction } from "../../queries/action";
import { usePaging } from "../../queries/list";
import { useProject } from "../../queries/project";
import { routePageQuery } from "../../queries/routes";
import { useMay } from "../../queries/session";
import { RouteDialog } from "./RouteDialog";
import { shareOf } from "./routeValues";

/** Public names that lead to several destinations. */
export function Routes() {
  const { t } = useTranslation();
  const may = useMay();
  const [project] = useProject();
  const [creating, setCreating] = useUrl("create");
  const [editing, setEditing] = useState<Route | null>(null);
  const [removing, setRemoving] = useState<Route | null>(null);
  const listing = useQuery(routePageQuery({ ...usePaging(), project }));
  const remove = useAction((name: string) => need(api.DELETE("/api/v1/routes/{name}", { params: { path: { name } } })), ["route"], { silent: true });
  const create = may("service:write") && <Button type="primary" icon={<PlusOutlined />} onClick={() => setCreating("1")}>{t("routes.create")}</Button>;
  return (
    <div className="page">
      <Head title={t("nav.routes")} sub={t("routes.sub")} actions={create} />
      <DataTable<Route>
        name="routes"
        listing={listing}
        rowKey={(route) => route.id}
        columns={[
          { key: "name", title: t("routes.name"), sort: true, render: (_, route) => <span className="strong">{route.name}</span> },
          { key: "arms", title: t("routes.arms"), render: (_, route) => <Ends route={route} ends={route.arms} share={(index) => `${shareOf(route.arms[index]?.weight, route.arms)} %`} /> },
          { key: "fallbacks", title: t("routes.fallbacks"), render: (_, route) => (route.fallbacks?.length ? <Ends route={route} ends={route.fallbacks} share={(index) => `${index + 1}.`} /> : <span className="quiet">–</span>) },
          { key: "project", title: t("keys.project"), sort: true, render: (_, route) => route.project },
          { key: "visibility", title: t("models.visibility"), optional: true, render: (_, route) => t(`visibility.${route.visibility}`) },
          { key: "created_at", title: t("keys.created"), sort: true, render: (_, route) => <Time at={route.created_at} /> },
          {
            key: "actions",
            title: "",
            render: (_, route) =>
              may("service:write", route.project) && (
                <Dropdown trigger={["click"]} menu={{ items: [{ key: "edit", label: t("action.edit"), onClick: () => setEditing(route) }, { key: "delete", danger: true, label: t("action.delete"), onClick: () => setRemoving(route) }] }}>
                  <Button size="small" type="text" aria-label={`${t("action.more")} ${route.name}`}>⋯</Button>
                </Dropdown>
              ),
          },
        ]}
        empty={{ icon: <BranchesOutlined />, title: t("routes.emptyTitle"), text: t("routes.emptyText"), action: create }}
      />
      <RouteDialog key={editing?.id ?? "new"} open={creating !== "" || editing !== null} editing={editing} onClose={() => { setCreating(""); setEditing(null); }} />
      <ConfirmName open={removing !== null} onClose={() => setRemoving(null)} name={removing?.name ?? ""} title={t("routes.deleteTitle", { name: removing?.name })} consequence={t("routes.deleteText")} action={t("action.delete")} onConfirm={() => remove.mutateAsync(removing?.name ?? "")} />
    </div>
  );
}

/** Destinations; those that could not answer now are told apart. */
function Ends({ route, ends, share }: { route: Route; ends: Destination[]; share: (index: number) => string }) {
  const { t } = useTranslation();
  return (
    <span className="row wrap" style={{ gap: 4, maxWidth: 380 }}>
      {ends.map((end, index) => {
        const ready = route.ready?.includes(labelOf(end));
        return <span key={labelOf(end)} className={`pill ${ready ? "good" : "warn"}`} title={t(ready ? "routes.isReady" : "routes.notReady")}><i aria-hidden />{labelOf(end)} {share(index)}</span>;
      })}
    </span>
  );
}
