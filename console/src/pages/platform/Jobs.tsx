import { ScheduleOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Alert } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Job, JobState } from "../../api/schema";
import { localized } from "../../app/sentences";
import { DataTable, PAGE_SIZE } from "../../parts/DataTable";
import { formatValue } from "../../parts/format";
import { JobProgressBar } from "../../parts/JobLine";
import { Head } from "../../parts/Page";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { useUrlMany } from "../../parts/url";
import { useDebounced } from "../../queries/plan";
import { jobsQuery, jobTarget } from "../../queries/jobs";
import { CancelJob } from "./CancelJob";

const STATES: JobState[] = ["running", "queued", "succeeded", "failed", "canceled"];

export function Jobs() {
  const { t } = useTranslation();
  const [url] = useUrlMany();
  const page = Number(url.get("page") ?? 1);
  const search = useDebounced(url.get("search") ?? "", 250);
  const listing = useQuery({
    ...jobsQuery({ offset: (page - 1) * PAGE_SIZE, limit: PAGE_SIZE, search: search || undefined, state: (url.get("state") as JobState | null) ?? undefined }),
    refetchInterval: (query) => (query.state.data?.items.some((job) => job.state === "running") ? 2000 : false),
  });
  return (
    <div className="page">
      <Head title={t("nav.jobs")} sub={t("jobs.sub")} />
      <DataTable<Job>
        name="jobs"
        listing={listing}
        rowKey={(job) => job.id}
        filters={[{ key: "state", label: t("services.state"), options: STATES.map((value) => ({ value, label: t(`state.${value}`) })) }]}
        expand={(job) => <JobDetail job={job} />}
        columns={[
          { key: "title", title: t("jobs.job"), render: (_, job) => <div style={{ maxWidth: 360 }}><Link className="name" to={jobTarget(job)}>{localized(job.title)}</Link><div className="small quiet mono">{job.id}</div></div> },
          { key: "kind", title: t("jobs.kind"), render: (_, job) => t(`jobKind.${job.kind as "model_import"}`) },
          { key: "state", title: t("services.state"), render: (_, job) => <State state={job.state} /> },
          { key: "progress", title: t("jobs.progress"), width: 300, render: (_, job) => (job.state === "running" || job.state === "queued" ? <JobProgressBar job={job} /> : job.state === "failed" ? <span className="pre">{localized(formatValue(job.error?.message))}</span> : null) },
          { key: "project", title: t("keys.project"), optional: true, render: (_, job) => job.project ?? "–" },
          { key: "by", title: t("keys.by"), render: (_, job) => job.created_by ?? "–" },
          { key: "created", title: t("keys.created"), render: (_, job) => <Time at={job.created_at} /> },
          { key: "ended", title: t("jobs.ends"), render: (_, job) => <Time at={job.finished_at} /> },
          { key: "actions", title: "", render: (_, job) => <CancelJob job={job} /> },
        ]}
        empty={{ icon: <ScheduleOutlined />, title: t("jobs.none"), text: t("jobs.sub") }}
      />
    </div>
  );
}

function JobDetail({ job }: { job: Job }) {
  const { t } = useTranslation();
  const rows = [...Object.entries(job.parameters), ...Object.entries(job.result)].filter(([, value]) => value !== null && value !== "");
  return (
    <div className="stack">
      {job.error && <Alert type="error" showIcon title={localized(formatValue(job.error.message))} description={typeof job.error.hint === "string" ? localized(job.error.hint) : undefined} />}
      {rows.map(([key, value], index) => (
        <div key={`${key}${index}`} className="row top"><span className="quiet mono" style={{ minWidth: 160 }}>{key}</span><span className="mono pre">{formatValue(value)}</span></div>
      ))}
      <span className="small quiet">{t("jobs.attempts", { count: job.attempts })}</span>
    </div>
  );
}
