import { BookOutlined, CheckCircleFilled, CloseCircleFilled } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Tag, Tooltip } from "antd";
import { useTranslation } from "react-i18next";
import type { CatalogFit, CatalogModel } from "../../api/schema";
import { localized } from "../../app/sentences";
import { DataTable, type Filter } from "../../parts/DataTable";
import { formatBytes, formatContext, formatCount } from "../../parts/format";
import { useUrl } from "../../parts/url";
import { catalogQuery } from "../../queries/models";
import { useMay } from "../../queries/session";
import { MODEL_TYPES } from "./Models";

/** Well-known models, each with the platform's word whether the pool could serve it. */
export function Catalog() {
  const { t } = useTranslation();
  const listing = useQuery(catalogQuery);
  const filters: Filter<CatalogModel>[] = [
    { key: "type", label: t("models.type"), options: MODEL_TYPES.map((value) => ({ value, label: t(`modelType.${value}`) })), match: (model, value) => model.type === value },
    { key: "fit", label: t("catalog.fit"), options: [{ value: "yes", label: t("catalog.fits") }, { value: "no", label: t("catalog.fitsNot") }], match: (model, value) => Boolean(model.fit?.fits) === (value === "yes") },
  ];
  return (
    <DataTable<CatalogModel>
      name="catalog"
      listing={listing}
      rowKey={(model) => model.name}
      columns={[]}
      filters={filters}
      text={(model) => `${model.name} ${model.title} ${model.family} ${model.description}`}
      cards={(model) => <CatalogCard key={model.name} model={model} />}
      empty={{ icon: <BookOutlined />, title: t("catalog.emptyTitle"), text: t("catalog.emptyText") }}
    />
  );
}

/** "Runs on 1 x 24 GiB, int4", with the whole sentence on hover. */
function FitBadge({ fit }: { fit: CatalogFit }) {
  const { t } = useTranslation();
  const where = fit.vendor === "cpu" ? t("catalog.onProcessor") : t("catalog.onCards", { count: fit.accelerators ?? 1, memory: formatBytes(fit.largest_bytes) });
  return (
    <Tooltip title={localized(fit.reason)}>
      <span className={`pill ${fit.fits ? "good" : "warn"}`} tabIndex={0}>
        {fit.fits ? <CheckCircleFilled aria-hidden /> : <CloseCircleFilled aria-hidden />}
        {fit.fits ? [where, fit.quantization].filter(Boolean).join(", ") : t("catalog.needs", { need: formatBytes(fit.needed_bytes) })}
      </span>
    </Tooltip>
  );
}

function CatalogCard({ model }: { model: CatalogModel }) {
  const { t } = useTranslation();
  const may = useMay();
  const [, setImporting] = useUrl("import");
  return (
    <article className="panel" style={{ padding: 16, display: "flex", flexDirection: "column", gap: 8 }}>
      <div className="row spread">
        <span className="name strong clip">{model.title}</span>
        <Tag style={{ margin: 0 }}>{t(`modelType.${model.type}`)}</Tag>
      </div>
      <div className="quiet" style={{ minHeight: 22 }}>{localized(model.description) || model.family}</div>
      <div className="row wrap small num" style={{ gap: "2px 14px" }}>
        <span>{formatCount(model.parameters)} {t("models.parametersShort")}</span>
        <span>{formatBytes(model.weight_bytes)}</span>
        <span>{t("models.contextOf", { tokens: formatContext(model.context_length) })}</span>
        <span>{model.license}</span>
        {model.mode !== "balanced" && <Tag style={{ margin: 0 }}>{t("catalog.recommended", { mode: t(`mode.${model.mode}`).toLowerCase() })}</Tag>}
      </div>
      <div className="row wrap spread" style={{ marginTop: "auto" }}>
        {model.fit && <FitBadge fit={model.fit} />}
        {may("model:write") && <Button size="small" onClick={() => setImporting(model.name)}>{t("models.import")}</Button>}
      </div>
    </article>
  );
}
