import { Button } from "antd";
import { useTranslation } from "react-i18next";
import type { Job } from "../../api/schema";
import { useAction } from "../../queries/action";
import { cancelJob } from "../../queries/jobs";
import { useMay } from "../../queries/session";

export function CancelJob({ job }: { job: Job }) {
  const { t } = useTranslation();
  const may = useMay();
  const cancel = useAction(cancelJob, ["job"]);
  if ((job.state !== "running" && job.state !== "queued") || !may("job:write", job.project ?? undefined)) return null;
  return <Button size="small" loading={job.cancel_requested || cancel.isPending} onClick={() => cancel.mutate(job.id)}>{t("jobs.cancel")}</Button>;
}
