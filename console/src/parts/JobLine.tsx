import { CloseOutlined } from "@ant-design/icons";
import { Button, Progress } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Job } from "../api/schema";
import { localized } from "../app/sentences";
import { useAction } from "../queries/action";
import { cancelJob, jobPath } from "../queries/jobs";
import { useMay } from "../queries/session";
import { formatBytes, formatCount, formatDuration } from "./format";
import { State } from "./State";
import { Time } from "./Time";

/** A job with its bar, rate and time left, and a way to cancel it. */
export function JobLine({ job }: { job: Job }) {
  const { t } = useTranslation();
  const may = useMay();
  const cancel = useAction(cancelJob, ["job"]);
  const live = job.state === "running" || job.state === "queued";
  return (
    <div className="stack" style={{ gap: 2 }}>
      <div className="row spread">
        <Link to={jobPath(job)} className="strong clip">{localized(job.title)}</Link>
        {live ? (
          may("job:write", job.project ?? undefined) && <Button type="text" size="small" icon={<CloseOutlined />} aria-label={t("jobs.cancel")} title={t("jobs.cancel")} loading={job.cancel_requested || cancel.isPending} onClick={() => cancel.mutate(job.id)} />
        ) : (
          <State state={job.state} reason={typeof job.error?.message === "string" ? job.error.message : undefined} />
        )}
      </div>
      {live ? <JobProgressBar job={job} /> : <span className="small quiet"><Time at={job.finished_at} /></span>}
    </div>
  );
}

export function JobProgressBar({ job }: { job: Job }) {
  const { t } = useTranslation();
  const { done, total, unit, rate, seconds_left: left, phase, message } = job.progress;
  // A share says nothing that the bar does not; what is being done stands in the message.
  const share = unit === "share";
  const bytes = unit === "bytes";
  const amount = (value: number) => (bytes ? formatBytes(value) : formatCount(value));
  const facts = [
    share ? null : total ? `${amount(done)} / ${amount(total)}${bytes ? "" : ` ${localized(unit)}`}` : done ? amount(done) : null,
    rate && bytes ? `${formatBytes(rate)}/s` : null,
    left ? t("jobs.left", { time: formatDuration(left) }) : null,
  ].filter(Boolean);
  return (
    <div>
      <Progress percent={total ? Math.min(100, Math.round((done / total) * 100)) : 0} status={job.state === "running" ? "active" : "normal"} size="small" aria-label={localized(job.title)} />
      <div className="row spread small quiet num">
        <span className="clip" title={localized(message) || undefined}>{localized((share && message) || phase) || t(`state.${job.state}`)}</span>
        <span>{facts.join(" · ")}</span>
      </div>
    </div>
  );
}
