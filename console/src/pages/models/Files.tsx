import { FileOutlined } from "@ant-design/icons";
import { useTranslation } from "react-i18next";
import type { ModelFile, ModelVersion } from "../../api/schema";
import { Copy } from "../../parts/Code";
import { DataTable } from "../../parts/DataTable";
import { formatBytes } from "../../parts/format";

export function Files({ version }: { version: ModelVersion }) {
  const { t } = useTranslation();
  return (
    <DataTable<ModelFile>
      name="files"
      listing={{ data: { items: version.files, total: version.files.length }, isPending: false, error: null, refetch: () => undefined }}
      rowKey={(file) => file.path}
      text={(file) => file.path}
      columns={[
        { key: "path", title: t("files.path"), sort: (file) => file.path, render: (_, file) => <span className="mono">{file.path}</span> },
        { key: "size", title: t("models.size"), number: true, sort: (file) => file.size_bytes, render: (_, file) => formatBytes(file.size_bytes) },
        { key: "sha256", title: "SHA-256", render: (_, file) => <span className="row"><span className="mono quiet">{file.sha256.slice(0, 20)}…</span><Copy text={file.sha256} /></span> },
      ]}
      empty={{ icon: <FileOutlined />, title: t("files.none"), text: "" }}
    />
  );
}
