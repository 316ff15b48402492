import { HistoryOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { App, Button } from "antd";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Service, ServiceRevision } from "../../api/schema";
import { DataTable } from "../../parts/DataTable";
import { State, type AnyState } from "../../parts/State";
import { Time } from "../../parts/Time";
import { toYaml } from "../../parts/yaml";
import { useAction } from "../../queries/action";
import { revisionsQuery } from "../../queries/services";
import { useMay } from "../../queries/session";

/** Every generation of the service: who changed what, what became of it, and the way back. */
export function Revisions({ service }: { service: Service }) {
  const { t } = useTranslation();
  const { modal } = App.useApp();
  const may = useMay();
  const revisions = useQuery(revisionsQuery(service.name));
  const rollback = useAction((generation: number) => need(api.POST("/api/v1/services/{name}/rollback", { params: { path: { name: service.name } }, body: { generation } })), ["service", "replica"], { done: t("services.rollingBack") });
  const ask = (generation: number) =>
    void modal.confirm({ title: t("services.rollbackTitle", { generation }), content: t("services.rollbackText"), okText: t("services.rollback"), cancelText: t("action.cancel"), onOk: () => rollback.mutateAsync(generation).catch(() => undefined) });
  const before = (revision: ServiceRevision) => revisions.data?.items.find((item) => item.generation === revision.generation - 1);
  return (
    <DataTable<ServiceRevision>
      name="revisions"
      listing={revisions}
      rowKey={(revision) => String(revision.generation)}
      text={(revision) => `${revision.generation} ${revision.model_version} ${revision.created_by ?? ""}`}
      expand={(revision) => <Diff before={before(revision)} after={revision} />}
      columns={[
        { key: "generation", title: t("services.generation"), sort: (revision) => revision.generation, render: (_, revision) => <b className="num">{revision.generation}</b> },
        { key: "outcome", title: t("services.outcome"), render: (_, revision) => <State state={revision.outcome as AnyState} /> },
        { key: "model", title: t("services.modelVersion"), render: (_, revision) => revision.model_version },
        { key: "by", title: t("audit.actor"), render: (_, revision) => revision.created_by ?? "–" },
        { key: "at", title: t("audit.at"), render: (_, revision) => <Time at={revision.created_at} /> },
        { key: "actions", title: "", render: (_, revision) => revision.generation !== service.generation && may("service:write", service.project) && <Button size="small" onClick={() => ask(revision.generation)}>{t("services.rollback")}</Button> },
      ]}
      empty={{ icon: <HistoryOutlined />, title: t("services.noRevisions"), text: "" }}
    />
  );
}

/** Line by line, what this generation changed. */
function Diff({ before, after }: { before?: ServiceRevision; after: ServiceRevision }) {
  const text = (revision: ServiceRevision) => toYaml({ model_version: revision.model_version, ...revision.spec }).split("\n");
  const old = before ? text(before) : [];
  const now = text(after);
  const removed = old.filter((line) => !now.includes(line));
  return (
    <div className="diff mono" style={{ padding: "4px 0" }}>
      {removed.map((line) => <del key={`-${line}`}>− {line}</del>)}
      {now.map((line, index) => (before && !old.includes(line) ? <ins key={index}>+ {line}</ins> : <span key={index}>&nbsp; {line}</span>))}
    </div>
  );
}
