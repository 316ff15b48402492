import { ScheduleOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { localized } from "../../app/sentences";
import type { Job, JobState } from "../../api/schema";
import { DataTable } from "../../parts/DataTable";
import { formatValue } from "../../parts/format";
import { JobProgressBar } from "../../parts/JobLine";
import { Head } from "../../parts/Page";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { useUrlMany } from "../../parts/url";
import { jobsQuery } from "../../queries/jobs";
import { usePaging } from "../../queries/list";
import { useProject } from "../../queries/project";
import { CancelJob } from "./CancelJob";
import { JobDrawer } from "./JobDrawer";

const STATES: JobState[] = ["running", "queued", "succeeded", "failed", "canceled"];
const KINDS = ["model_import", "upload_check", "engine_install", "engine_remove"] as const;

export function Jobs() {
  const { t } = useTranslation();
  const [url, setUrl] = useUrlMany();
  const [project] = useProject();
  const paging = usePaging();
  const state = STATES.find((value) => value === url.get("state"));
  const open = (id: string | undefined) => setUrl({ job: id });
  const listing = useQuery({
    ...jobsQuery({ ...paging, project, state, kind: url.get("kind") ?? undefined }),
    refetchInterval: (query) => (query.state.data?.items.some((job) => job.state === "running") ? 2000 : false),
  });
  return (
    <div className="page">
      <Head title={t("nav.jobs")} sub={t("jobs.sub")} />
      <DataTable<Job>
        name="jobs"
        listing={listing}
        rowKey={(job) => job.id}
        onOpen={(job) => open(job.id)}
        filters={[
          { key: "state", label: t("services.state"), options: STATES.map((value) => ({ value, label: t(`state.${value}`) })) },
          { key: "kind", label: t("jobs.kind"), options: KINDS.map((value) => ({ value, label: t(`jobKind.${value}`) })) },
        ]}
        columns={[
          { key: "title", title: t("jobs.job"), sort: true, render: (_, job) => <div style={{ maxWidth: 320 }}><button type="button" className="linkish name" onClick={() => open(job.id)}>{localized(job.title)}</button><div className="small quiet mono">{job.id}</div></div> },
          { key: "kind", title: t("jobs.kind"), sort: true, render: (_, job) => t(`jobKind.${job.kind as "model_import"}`) },
          { key: "state", title: t("services.state"), sort: true, render: (_, job) => <State state={job.state} reason={formatValue(job.error?.message)} /> },
          { key: "progress", title: t("jobs.progress"), width: 300, render: (_, job) => (job.state === "running" || job.state === "queued" ? <JobProgressBar job={job} /> : job.state === "failed" ? <div className="pre small" style={{ maxWidth: 320 }}>{localized(formatValue(job.error?.message))}</div> : null) },
          { key: "project", title: t("keys.project"), optional: true, render: (_, job) => job.project ?? "–" },
          { key: "created_by", title: t("keys.by"), sort: true, render: (_, job) => job.created_by ?? "–" },
          { key: "created_at", title: t("keys.created"), sort: true, render: (_, job) => <Time at={job.created_at} /> },
          { key: "finished_at", title: t("jobs.ends"), sort: true, render: (_, job) => <Time at={job.finished_at} /> },
          { key: "actions", title: "", render: (_, job) => <CancelJob job={job} /> },
        ]}
        empty={{ icon: <ScheduleOutlined />, title: t("jobs.never"), text: t("jobs.sub") }}
      />
      <JobDrawer id={url.get("job") ?? ""} onOpen={open} />
    </div>
  );
}
