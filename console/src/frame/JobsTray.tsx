import { ScheduleOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { App, Badge, Button, Popover } from "antd";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import type { Job, JobState } from "../api/schema";
import { localized } from "../app/sentences";
import { formatValue } from "../parts/format";
import { JobLine } from "../parts/JobLine";
import { awaited, expectEnd, jobsQuery, jobTarget } from "../queries/jobs";
import { useMay } from "../queries/session";
import { useSendings } from "../queries/uploads";
import { UploadLine, useFailedUploads } from "./UploadLine";

const LIVE: JobState[] = ["queued", "running"];

/** Every running job and upload, from any page; when one ends a notification links to its result. */
export function JobsTray() {
  const { t } = useTranslation();
  const may = useMay();
  const { data } = useQuery({ ...jobsQuery({ limit: 50 }), enabled: may("job:read"), refetchInterval: (query) => (query.state.data?.items.some((job) => LIVE.includes(job.state)) ? 2000 : false) });
  const sendings = useSendings();
  useEndings(data?.items);
  useFailedUploads(sendings);
  const running = data?.items.filter((job) => LIVE.includes(job.state)) ?? [];
  const recent = data?.items.filter((job) => !LIVE.includes(job.state)).slice(0, 3) ?? [];
  const count = running.length + sendings.length;
  return (
    <Popover
      trigger="click"
      placement="bottomRight"
      title={t("jobs.tray")}
      content={
        <div className="stack wide" style={{ width: 380 }}>
          {count === 0 && <span className="quiet">{t("jobs.none")}</span>}
          {sendings.map((sending) => <UploadLine key={sending.id} sending={sending} />)}
          {running.map((job) => <JobLine key={job.id} job={job} />)}
          {recent.map((job) => <JobLine key={job.id} job={job} />)}
          <Link to="/platform/jobs">{t("jobs.all")}</Link>
        </div>
      }
    >
      <Badge count={count} size="small" offset={[-6, 6]} color="#0b6b75">
        <Button type="text" icon={<ScheduleOutlined />} aria-label={t("jobs.trayCount", { count })} title={t("jobs.tray")} data-testid="jobs" />
      </Badge>
    </Popover>
  );
}

/** Tells when a job that was seen alive, or that this page started, has ended. */
function useEndings(jobs: Job[] | undefined): void {
  const { t } = useTranslation();
  const { notification } = App.useApp();
  const navigate = useNavigate();
  useEffect(() => {
    for (const job of jobs ?? []) {
      if (LIVE.includes(job.state)) expectEnd(job.id);
      else if (awaited.delete(job.id)) {
        const target = jobTarget(job);
        const failed = job.state === "failed";
        notification[failed ? "error" : job.state === "canceled" ? "info" : "success"]({
          key: job.id,
          title: t(`jobs.ended.${job.state}`, { title: localized(job.title) }),
          description: failed ? localized(formatValue(job.error?.message)) : undefined,
          duration: failed ? 0 : 8,
          actions: (
            <Button size="small" type="primary" onClick={() => { notification.destroy(job.id); void navigate(target); }}>
              {t("jobs.open")}
            </Button>
          ),
        });
      }
    }
  }, [jobs, notification, navigate, t]);
}
