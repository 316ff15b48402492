import { BookOutlined, CheckCircleFilled, CloseCircleFilled } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Tag, Tooltip } from "antd";
import { useTranslation } from "react-i18next";
import type { Accelerator, CatalogModel } from "../../api/schema";
import { localized } from "../../app/sentences";
import { DataTable, type Filter } from "../../parts/DataTable";
import { formatBytes, formatContext, formatCount } from "../../parts/format";
import { useUrl } from "../../parts/url";
import { catalogQuery } from "../../queries/models";
import { nodesQuery } from "../../queries/nodes";
import { useMay } from "../../queries/session";
import { MODEL_TYPES } from "./Models";

/** Weights and room for a little cache and the engine; the publish page has the exact figures. */
const OVERHEAD = 1.2;

function fits(model: CatalogModel, largest: Accelerator | undefined): boolean {
  return largest !== undefined && model.weight_bytes * OVERHEAD <= largest.memory_bytes;
}

/** The accelerator with the most memory in the pool. */
function useLargest(): Accelerator | undefined {
  const may = useMay();
  const { data } = useQuery({ ...nodesQuery(), enabled: may("node:read") });
  return data?.items.flatMap((node) => node.status?.accelerators ?? []).sort((a, b) => b.memory_bytes - a.memory_bytes)[0];
}

/** Well-known models, each with the word whether it fits this pool. */
export function Catalog() {
  const { t } = useTranslation();
  const listing = useQuery(catalogQuery);
  const largest = useLargest();
  const filters: Filter<CatalogModel>[] = [
    { key: "type", label: t("models.type"), options: MODEL_TYPES.map((value) => ({ value, label: t(`modelType.${value}`) })), match: (model, value) => model.type === value },
    { key: "fit", label: t("catalog.fit"), options: [{ value: "yes", label: t("catalog.fits") }], match: (model) => fits(model, largest) },
  ];
  return (
    <DataTable<CatalogModel>
      name="catalog"
      listing={listing}
      rowKey={(model) => model.name}
      columns={[]}
      filters={filters}
      text={(model) => `${model.name} ${model.title} ${model.family} ${model.description}`}
      cards={(model) => <CatalogCard key={model.name} model={model} largest={largest} />}
      empty={{ icon: <BookOutlined />, title: t("catalog.emptyTitle"), text: t("catalog.emptyText") }}
    />
  );
}

function CatalogCard({ model, largest }: { model: CatalogModel; largest?: Accelerator }) {
  const { t } = useTranslation();
  const may = useMay();
  const good = fits(model, largest);
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
      </div>
      <div className="row spread" style={{ marginTop: "auto" }}>
        {largest && (
          <Tooltip title={t("catalog.reason", { need: formatBytes(model.weight_bytes * OVERHEAD), product: largest.product, memory: formatBytes(largest.memory_bytes) })}>
            <span className={`pill ${good ? "good" : "warn"}`} tabIndex={0}>
              {good ? <CheckCircleFilled aria-hidden /> : <CloseCircleFilled aria-hidden />}
              {t(good ? "catalog.fits" : "catalog.fitsNot")}
            </span>
          </Tooltip>
        )}
        {may("model:write") && <Button size="small" onClick={() => setImporting(model.name)}>{t("models.import")}</Button>}
      </div>
    </article>
  );
}
