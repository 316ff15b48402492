import { DownloadOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Alert, Button, Drawer, Skeleton, Tag } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Batch } from "../../api/schema";
import { localized } from "../../app/sentences";
import { Events } from "../../parts/Events";
import { ProblemView } from "../../parts/Feedback";
import { formatCount } from "../../parts/format";
import { Facts } from "../../parts/Page";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { useAction } from "../../queries/action";
import { batchQuery, cancelBatch, contentPath, isCancelable, isLive } from "../../queries/batches";
import { useMay } from "../../queries/session";
import { BatchProgress } from "./Batches";

/** One batch beside the list: how far it is, what is wrong with it, and its results. */
export function BatchDrawer({ id, onClose }: { id: string; onClose: () => void }) {
  const { t } = useTranslation();
  const batch = useQuery({ ...batchQuery(id), enabled: id !== "" });
  return (
    <Drawer open={id !== ""} onClose={onClose} size={640} destroyOnHidden title={t("batches.batch")} extra={batch.data && <CancelBatch batch={batch.data} />} styles={{ body: { padding: 20, background: "var(--ant-color-bg-container)" } }}>
      {batch.error ? <ProblemView error={batch.error} retry={() => void batch.refetch()} /> : batch.data ? <Detail batch={batch.data} /> : <Skeleton active />}
    </Drawer>
  );
}

function CancelBatch({ batch }: { batch: Batch }) {
  const { t } = useTranslation();
  const may = useMay();
  const cancel = useAction(cancelBatch, ["batch"]);
  if (!isCancelable(batch) || !may("batch:write", batch.project)) return null;
  return <Button size="small" loading={cancel.isPending} onClick={() => cancel.mutate(batch.id)}>{t("batches.cancel")}</Button>;
}

function Detail({ batch }: { batch: Batch }) {
  const { t } = useTranslation();
  const { total, completed, failed } = batch.counts;
  const metadata = Object.entries(batch.metadata);
  return (
    <div>
      <div className="row wrap" style={{ marginBottom: 12 }}><State state={batch.state} /><span className="mono small quiet">{batch.id}</span></div>
      {isLive(batch) && <div style={{ marginBottom: 16 }}><BatchProgress batch={batch} /></div>}
      {batch.problems.length > 0 && <Alert style={{ marginBottom: 16 }} type="error" showIcon title={t("batches.problems")} description={<Problems batch={batch} />} />}
      <Downloads batch={batch} />
      <Facts
        items={[
          [t("batches.lines"), formatCount(total)],
          [t("batches.answered"), formatCount(completed)],
          [t("batches.inError"), formatCount(failed)],
          [t("batches.model"), batch.model ?? "–"],
          [t("batches.endpoint"), <span key="endpoint" className="mono">{batch.endpoint}</span>],
          [t("batches.key"), <Link key="key" className="mono" to={`/platform/keys?search=${encodeURIComponent(batch.api_key_id)}`}>{batch.api_key_id}</Link>],
          [t("keys.project"), batch.project],
          [t("keys.by"), batch.created_by ?? "–"],
          [t("keys.created"), <Time key="created" at={batch.created_at} />],
          [t("batches.until"), <Time key="until" at={batch.expires_at} />],
          [t("jobs.ends"), <Time key="ended" at={batch.completed_at ?? batch.failed_at ?? batch.expired_at ?? batch.cancelled_at} />],
          ...(metadata.length > 0 ? [[t("batches.metadata"), <span key="metadata" className="row wrap" style={{ gap: 4 }}>{metadata.map(([name, text]) => <Tag key={name} style={{ margin: 0 }}>{name}={text}</Tag>)}</span>] satisfies [string, React.ReactNode]] : []),
        ]}
      />
      <h2 className="section">{t("events.title")}</h2>
      <Events kind="batch" name={batch.id} brief />
    </div>
  );
}

function Problems({ batch }: { batch: Batch }) {
  const { t } = useTranslation();
  return (
    <ul style={{ maxHeight: 240, overflow: "auto", margin: 0, paddingInlineStart: 18 }}>
      {batch.problems.map((problem) => <li key={`${String(problem.line)} ${problem.code}`}>{problem.line != null && `${t("batches.line", { line: problem.line })}: `}{localized(problem.message)}</li>)}
    </ul>
  );
}

function Downloads({ batch }: { batch: Batch }) {
  const { t } = useTranslation();
  const files: [string, string | null | undefined][] = [
    [t("batches.output"), batch.output_file_id],
    [t("batches.errors"), batch.error_file_id],
    [t("batches.input"), batch.input_file_id],
  ];
  return (
    <div className="row wrap" style={{ marginBottom: 16 }}>
      {files.map(([label, id]) => id && <Button key={id} size="small" icon={<DownloadOutlined />} href={contentPath(id)} download>{label}</Button>)}
    </div>
  );
}
