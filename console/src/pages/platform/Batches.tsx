import { FileTextOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Progress } from "antd";
import { useTranslation } from "react-i18next";
import type { Batch, BatchState } from "../../api/schema";
import { localized } from "../../app/sentences";
import { DataTable } from "../../parts/DataTable";
import { formatCount } from "../../parts/format";
import { Head } from "../../parts/Page";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { useUrlMany } from "../../parts/url";
import { batchesQuery, isLive } from "../../queries/batches";
import { usePaging } from "../../queries/list";
import { useProject } from "../../queries/project";
import { useMay } from "../../queries/session";
import { BatchDrawer } from "./BatchDrawer";
import { OrderBatch } from "./OrderBatch";

const STATES: BatchState[] = ["validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"];

export function Batches() {
  const { t } = useTranslation();
  const may = useMay();
  const [url, setUrl] = useUrlMany();
  const [project] = useProject();
  const state = STATES.find((value) => value === url.get("state"));
  const open = (id: string | undefined) => setUrl({ batch: id });
  const listing = useQuery(batchesQuery({ ...usePaging(), project, state }));
  const order = may("batch:write") && <Button type="primary" icon={<PlusOutlined />} onClick={() => setUrl({ create: "1" })}>{t("batches.order")}</Button>;
  return (
    <div className="page">
      <Head title={t("nav.batches")} sub={t("batches.sub")} actions={order} />
      <DataTable<Batch>
        name="batches"
        listing={listing}
        rowKey={(batch) => batch.id}
        onOpen={(batch) => open(batch.id)}
        filters={[{ key: "state", label: t("services.state"), options: STATES.map((value) => ({ value, label: t(`state.${value}`) })) }]}
        columns={[
          { key: "id", title: t("batches.batch"), sort: true, render: (_, batch) => <div><button type="button" className="linkish name mono" onClick={() => open(batch.id)}>{batch.id}</button><div className="small quiet">{batch.endpoint}</div></div> },
          { key: "model", title: t("batches.model"), sort: true, render: (_, batch) => batch.model ?? "–" },
          { key: "state", title: t("services.state"), sort: true, render: (_, batch) => <State state={batch.state} reason={batch.problems[0]?.message ?? batch.waits_for} /> },
          { key: "progress", title: t("jobs.progress"), width: 260, render: (_, batch) => <BatchProgress batch={batch} /> },
          { key: "project", title: t("keys.project"), optional: true, render: (_, batch) => batch.project },
          { key: "created_by", title: t("keys.by"), sort: true, optional: true, render: (_, batch) => batch.created_by ?? "–" },
          { key: "created_at", title: t("keys.created"), sort: true, render: (_, batch) => <Time at={batch.created_at} /> },
          { key: "expires_at", title: t("batches.until"), sort: true, optional: true, render: (_, batch) => <Time at={batch.expires_at} /> },
        ]}
        empty={{ icon: <FileTextOutlined />, title: t("batches.emptyTitle"), text: t("batches.emptyText"), action: order }}
      />
      <BatchDrawer id={url.get("batch") ?? ""} onClose={() => open(undefined)} />
      <OrderBatch open={Boolean(url.get("create"))} onClose={() => setUrl({ create: undefined })} onDone={(batch) => setUrl({ create: undefined, batch: batch.id })} />
    </div>
  );
}

/** The share of its lines that are done, and why none is under way while it waits. */
export function BatchProgress({ batch }: { batch: Batch }) {
  const { t } = useTranslation();
  const { total, completed, failed } = batch.counts;
  const done = completed + failed;
  const percent = total ? Math.floor((done / total) * 100) : 0;
  return (
    <div>
      <Progress percent={percent} status={isLive(batch) ? "active" : batch.state === "completed" ? "success" : "normal"} size="small" aria-label={t("jobs.progress")} />
      <div className="small quiet num">{t("batches.counts", { done: formatCount(done), total: formatCount(total) })}{failed > 0 && ` · ${t("batches.failed", { count: failed })}`}</div>
      {batch.waits_for && <div className="small quiet pre" style={{ maxWidth: 320 }}>{localized(batch.waits_for)}</div>}
    </div>
  );
}
