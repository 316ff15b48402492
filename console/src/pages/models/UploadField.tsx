import { FolderOpenOutlined, InboxOutlined } from "@ant-design/icons";
import { Button, Progress, Upload } from "antd";
import { useRef } from "react";
import { useTranslation } from "react-i18next";
import { formatBytes, formatDuration } from "../../parts/format";
import type { Picked, useUpload } from "./upload";

export function UploadField({ upload }: { upload: ReturnType<typeof useUpload> }) {
  const { t } = useTranslation();
  const folder = useRef<HTMLInputElement>(null);
  const take = (files: File[]) => upload.setFiles(files.map(picked));
  const total = upload.files.reduce((sum, { file }) => sum + file.size, 0);
  const progress = upload.progress;
  return (
    <div className="stack" style={{ marginBottom: 18 }}>
      <Upload.Dragger
        multiple
        showUploadList={false}
        beforeUpload={(_, files) => {
          take(files);
          return false;
        }}
      >
        <p style={{ fontSize: 26, margin: 0, color: "var(--ant-color-primary)" }}><InboxOutlined /></p>
        <p style={{ margin: "4px 0 0" }} className="strong">{t("upload.drop")}</p>
        <p style={{ margin: 0 }} className="small quiet">{t("upload.hint")}</p>
      </Upload.Dragger>
      <input ref={folder} type="file" hidden multiple {...{ webkitdirectory: "" }} onChange={(event) => take([...(event.target.files ?? [])])} />
      <div className="row spread">
        <Button size="small" icon={<FolderOpenOutlined />} onClick={() => folder.current?.click()}>{t("upload.folder")}</Button>
        {upload.files.length > 0 && <span className="small quiet num">{t("upload.chosen", { count: upload.files.length, size: formatBytes(total) })}</span>}
      </div>
      {progress && (
        <div>
          <Progress percent={Math.floor((progress.sent / Math.max(1, progress.total)) * 100)} status="active" size="small" />
          <div className="row spread small quiet num">
            <span>{progress.resumed ? t("upload.resumed") : `${formatBytes(progress.sent)} / ${formatBytes(progress.total)}`}</span>
            <span>{formatBytes(progress.rate)}/s · {t("jobs.left", { time: formatDuration((progress.total - progress.sent) / Math.max(1, progress.rate)) })}</span>
          </div>
        </div>
      )}
    </div>
  );
}

/** The path inside the model: without the chosen folder's own name. */
function picked(file: File): Picked {
  const path = file.webkitRelativePath;
  return { file, path: path.includes("/") ? path.slice(path.indexOf("/") + 1) : file.name };
}
