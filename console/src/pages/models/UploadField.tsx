import { FolderOpenOutlined, InboxOutlined } from "@ant-design/icons";
import { Button, Upload } from "antd";
import { useRef } from "react";
import { useTranslation } from "react-i18next";
import { formatBytes } from "../../parts/format";
import type { Picked } from "../../queries/uploadFiles";

/** Files or a folder to send. */
export function UploadField({ files, onChange }: { files: Picked[]; onChange: (files: Picked[]) => void }) {
  const { t } = useTranslation();
  const folder = useRef<HTMLInputElement>(null);
  const take = (chosen: File[]) => onChange(chosen.map(picked));
  const total = files.reduce((sum, { file }) => sum + file.size, 0);
  return (
    <div className="stack" style={{ marginBottom: 18 }}>
      <Upload.Dragger
        multiple
        showUploadList={false}
        beforeUpload={(_, dropped) => {
          take(dropped);
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
        {files.length > 0 && <span className="small quiet num">{t("upload.chosen", { count: files.length, size: formatBytes(total) })}</span>}
      </div>
    </div>
  );
}

/** The path inside the model: without the chosen folder's own name. */
function picked(file: File): Picked {
  const path = file.webkitRelativePath;
  return { file, path: path.includes("/") ? path.slice(path.indexOf("/") + 1) : file.name };
}
