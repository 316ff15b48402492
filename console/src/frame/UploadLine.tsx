import { CloseOutlined, ReloadOutlined } from "@ant-design/icons";
import { App, Button, Progress } from "antd";
import { useEffect, useRef } from "react";
import type { TFunction } from "i18next";
import { useTranslation } from "react-i18next";
import { problemText } from "../parts/Feedback";
import { formatBytes, formatDuration } from "../parts/format";
import { retryUpload, stopUpload, type Sending } from "../queries/uploads";

/** An upload of this page with its bar, rate and time left, and ways to stop it and to try again. */
export function UploadLine({ sending }: { sending: Sending }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const { id, model, state, progress, error } = sending;
  const failed = state === "failed";
  const title = t("upload.title", { name: model });
  const stop = () => {
    stopUpload(id);
    void message.info(t("upload.stopped", { name: model }), 6);
  };
  return (
    <div className="stack" style={{ gap: 2 }} data-testid="upload">
      <div className="row spread">
        <span className="strong clip">{title}</span>
        <span className="row">
          {failed && <Button type="text" size="small" icon={<ReloadOutlined />} aria-label={t("problem.retry")} title={t("problem.retry")} onClick={() => void retryUpload(id)} />}
          <Button type="text" size="small" icon={<CloseOutlined />} aria-label={t("upload.stop")} title={t("upload.stop")} onClick={stop} />
        </span>
      </div>
      <Progress percent={progress ? Math.floor((progress.sent / Math.max(1, progress.total)) * 100) : 0} status={failed ? "exception" : "active"} size="small" aria-label={title} />
      <div className="row spread small quiet num">
        <span className="clip" title={failed ? problemText(error) : undefined}>{failed ? problemText(error) : <Words progress={progress} />}</span>
        {progress && progress.sent < progress.total && !failed && (
          <span>{[`${formatBytes(progress.sent)} / ${formatBytes(progress.total)}`, ...pace(progress.sent, progress.total, progress.rate, t)].join(" · ")}</span>
        )}
      </div>
    </div>
  );
}

function Words({ progress }: { progress: Sending["progress"] }) {
  const { t } = useTranslation();
  if (progress && progress.sent === progress.total) return t("upload.checking");
  return progress?.resumed ? t("upload.resumed") : t("upload.sending");
}

function pace(sent: number, total: number, rate: number, t: TFunction): string[] {
  return rate > 0 ? [`${formatBytes(rate)}/s`, t("jobs.left", { time: formatDuration((total - sent) / rate) })] : [];
}

/** Tells once when an upload failed, on whatever page the user is. */
export function useFailedUploads(sendings: readonly Sending[]): void {
  const { t } = useTranslation();
  const { notification } = App.useApp();
  const told = useRef(new Set<number>());
  useEffect(() => {
    const failed = sendings.filter(({ state }) => state === "failed");
    for (const id of told.current) {
      if (failed.some((sending) => sending.id === id)) continue;
      told.current.delete(id);
      notification.destroy(`upload-${id}`);
    }
    for (const { id, model, error } of failed) {
      if (told.current.has(id)) continue;
      told.current.add(id);
      notification.error({
        key: `upload-${id}`,
        title: t("upload.failed", { name: model }),
        description: problemText(error),
        duration: 0,
        actions: <Button size="small" type="primary" onClick={() => void retryUpload(id)}>{t("problem.retry")}</Button>,
      });
    }
  }, [sendings, notification, t]);
}
