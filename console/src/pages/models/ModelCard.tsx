import { Tag } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Model } from "../../api/schema";
import { formatBytes, formatContext, formatCount } from "../../parts/format";
import { Time } from "../../parts/Time";
import { UsedBy } from "./Models";

export function ModelCard({ model }: { model: Model }) {
  const { t } = useTranslation();
  const latest = model.latest;
  return (
    <article className="panel" style={{ padding: 16, display: "flex", flexDirection: "column", gap: 8 }}>
      <div className="row spread">
        <Link className="name clip" to={`/models/${model.name}`}>{model.name}</Link>
        <Tag style={{ margin: 0 }}>{t(`modelType.${model.type}`)}</Tag>
      </div>
      <div className="quiet" style={{ minHeight: 44 }}>{model.description}</div>
      <div className="row wrap small num" style={{ gap: "2px 14px" }}>
        <span>{formatCount(latest?.parameters)} {t("models.parametersShort")}</span>
        <span>{formatBytes(latest?.size_bytes)}</span>
        <span>{t("models.contextOf", { tokens: formatContext(latest?.context_length) })}</span>
      </div>
      <div className="row spread small">
        <UsedBy names={model.used_by} />
        <span className="quiet"><Time at={model.updated_at} /></span>
      </div>
    </article>
  );
}
