import { useQuery } from "@tanstack/react-query";
import { Alert, Button, Drawer, Skeleton, Tooltip } from "antd";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { api, need } from "../../api/client";
import type { ImportRequest, Job } from "../../api/schema";
import { localized } from "../../app/sentences";
import { Code } from "../../parts/Code";
import { Events } from "../../parts/Events";
import { ProblemView } from "../../parts/Feedback";
import { formatDuration, formatValue } from "../../parts/format";
import { JobProgressBar } from "../../parts/JobLine";
import { Facts } from "../../parts/Page";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { toYaml } from "../../parts/yaml";
import { useAction } from "../../queries/action";
import { jobQuery, jobTarget } from "../../queries/jobs";
import { useMay } from "../../queries/session";
import { CancelJob } from "./CancelJob";

/** One job beside the list: how far it is, why it failed, what it was asked and what came of it. */
export function JobDrawer({ id, onOpen }: { id: string; onOpen: (id: string | undefined) => void }) {
  const { t } = useTranslation();
  const job = useQuery({ ...jobQuery(id), enabled: id !== "" });
  return (
    <Drawer open={id !== ""} onClose={() => onOpen(undefined)} size={640} destroyOnHidden title={localized(job.data?.title) || t("jobs.job")} extra={job.data && <Actions job={job.data} onOpen={onOpen} />} styles={{ body: { padding: 20, background: "var(--ant-color-bg-container)" } }}>
      {job.error ? <ProblemView error={job.error} retry={() => void job.refetch()} /> : job.data ? <Detail job={job.data} /> : <Skeleton active />}
    </Drawer>
  );
}

function Detail({ job }: { job: Job }) {
  const { t } = useTranslation();
  const live = job.state === "running" || job.state === "queued";
  const output = outputOf(job);
  const seconds = job.started_at && job.finished_at ? (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000 : null;
  return (
    <div>
      <div className="row wrap" style={{ marginBottom: 12 }}><State state={job.state} /><span className="mono small quiet">{job.id}</span></div>
      {live && <div style={{ marginBottom: 16 }}><JobProgressBar job={job} /></div>}
      {job.error && job.state === "failed" && <Alert style={{ marginBottom: 16 }} type="error" showIcon title={<span className="pre">{localized(formatValue(job.error.message))}</span>} description={typeof job.error.hint === "string" ? localized(job.error.hint) : undefined} />}
      <Facts
        items={[
          [t("jobs.kind"), t(`jobKind.${job.kind as "model_import"}`)],
          [t("keys.project"), job.project ?? "–"],
          [t("keys.by"), job.created_by ?? "–"],
          [t("keys.created"), <Time key="created" at={job.created_at} />],
          seconds === null ? [t("jobs.started"), <Time key="started" at={job.started_at} />] : [t("jobs.took"), formatDuration(seconds)],
          [t("jobs.tries"), job.attempts],
          [t("jobs.phase"), <span key="phase" className="pre">{[job.progress.phase, job.progress.message].filter(Boolean).map(localized).join(": ") || "–"}</span>],
        ]}
      />
      {output && <><h2 className="section">{t("services.log")}</h2><Code text={output} /></>}
      {Object.keys(job.result).length > 0 && <><h2 className="section">{t("jobs.result")}</h2><Code text={toYaml(job.result)} /></>}
      {Object.keys(job.parameters).length > 0 && <><h2 className="section">{t("jobs.parameters")}</h2><Code text={toYaml(job.parameters)} /></>}
      <h2 className="section">{t("events.title")}</h2>
      <Events kind="job" name={job.id} brief />
    </div>
  );
}

/** The last lines of the program that failed, where it was a program. */
function outputOf(job: Job): string {
  const details = job.error?.details;
  if (typeof details !== "object" || details === null || !("output" in details) || !Array.isArray(details.output)) return "";
  const command = "command" in details && typeof details.command === "string" ? [`$ ${details.command}`] : [];
  return [...command, ...(details.output as unknown[]).map(String)].join("\n");
}

function Actions({ job, onOpen }: { job: Job; onOpen: (id: string) => void }) {
  const { t } = useTranslation();
  const may = useMay();
  const navigate = useNavigate();
  const again = useAction(retry, ["job"], { onDone: (fresh) => onOpen(fresh.id) });
  const target = jobTarget(job);
  const retriable = (job.state === "failed" || job.state === "canceled") && (job.kind === "model_import" ? may("model:write", job.project ?? undefined) : job.kind === "engine_install" && may("engine:write"));
  return (
    <div className="row">
      <CancelJob job={job} />
      {retriable && <Tooltip title={job.kind === "model_import" ? t("jobs.retryHint") : undefined}><Button type="primary" size="small" loading={again.isPending} onClick={() => again.mutate(job)}>{t("jobs.retry")}</Button></Tooltip>}
      {!target.startsWith("/platform/jobs") && <Button size="small" href={target} onClick={(event) => { event.preventDefault(); void navigate(target); }}>{t("jobs.openResult")}</Button>}
    </div>
  );
}

interface Target {
  node_id: string;
  variant: string;
}

/** Asks for the same again, as a new job. */
async function retry(job: Job): Promise<Job> {
  const { parameters } = job;
  if (job.kind === "model_import") return need(api.POST("/api/v1/models/{name}/import", { params: { path: { name: String(parameters.model) } }, body: parameters.request as ImportRequest }));
  let first: Job | undefined;
  for (const target of parameters.targets as Target[]) {
    const fresh = await need(api.POST("/api/v1/engines/{name}/install", { params: { path: { name: String(parameters.engine) } }, body: { version: String(parameters.version), variant: target.variant, node: target.node_id } }));
    first ??= fresh;
  }
  return first ?? job;
}
