import { AppstoreOutlined, BarsOutlined, DatabaseOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Segmented, Tabs, Tag } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import type { Model } from "../../api/schema";
import { DataTable, type Column, type Filter } from "../../parts/DataTable";
import { formatBytes, formatContext, formatCount } from "../../parts/format";
import { Head } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { useUrl } from "../../parts/url";
import { modelsQuery } from "../../queries/models";
import { useProject } from "../../queries/project";
import { useMay } from "../../queries/session";
import { Catalog } from "./Catalog";
import { ImportDialog } from "./ImportDialog";
import { ModelCard } from "./ModelCard";

export const MODEL_TYPES = ["chat", "embedding", "rerank", "classification", "ocr", "vision"] as const;

export function Models() {
  const { t } = useTranslation();
  const may = useMay();
  const [tab, setTab] = useUrl("tab", "own");
  const [importing, setImporting] = useUrl("import");
  const canImport = may("model:write");
  return (
    <div className="page">
      <Head
        title={t("nav.models")}
        sub={t("models.sub")}
        actions={canImport && <Button type="primary" icon={<PlusOutlined />} onClick={() => setImporting("1")}>{t("models.import")}</Button>}
      />
      <Tabs activeKey={tab} onChange={setTab} items={[{ key: "own", label: t("models.tabOwn"), children: <Repository onImport={() => setImporting("1")} /> }, { key: "catalog", label: t("models.tabCatalog"), children: <Catalog /> }]} />
      {canImport && <ImportDialog open={importing !== ""} preset={importing} onClose={() => setImporting("")} />}
    </div>
  );
}

function Repository({ onImport }: { onImport: () => void }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const may = useMay();
  const [project] = useProject();
  const [view, setView] = useUrl("view", "table");
  const listing = useQuery(modelsQuery(project));
  return (
    <DataTable<Model>
      name="models"
      listing={listing}
      rowKey={(model) => model.id}
      text={(model) => `${model.name} ${model.description} ${model.latest?.architecture.name ?? ""}`}
      columns={useModelColumns()}
      filters={useModelFilters()}
      onOpen={(model) => void navigate(`/models/${model.name}`)}
      cards={view === "cards" ? (model) => <ModelCard key={model.id} model={model} /> : undefined}
      extra={<Segmented size="small" value={view} onChange={setView} options={[{ value: "table", icon: <BarsOutlined />, title: t("list.table") }, { value: "cards", icon: <AppstoreOutlined />, title: t("list.cards") }]} />}
      empty={{ icon: <DatabaseOutlined />, title: t("models.emptyTitle"), text: t("models.emptyText"), action: may("model:write") && <Button type="primary" onClick={onImport}>{t("models.import")}</Button> }}
    />
  );
}

function useModelFilters(): Filter<Model>[] {
  const { t } = useTranslation();
  return [
    { key: "type", label: t("models.type"), options: MODEL_TYPES.map((value) => ({ value, label: t(`modelType.${value}`) })), match: (model, value) => model.type === value },
    { key: "visibility", label: t("models.visibility"), options: (["public", "project"] as const).map((value) => ({ value, label: t(`visibility.${value}`) })), match: (model, value) => model.visibility === value },
  ];
}

function useModelColumns(): Column<Model>[] {
  const { t } = useTranslation();
  return [
    {
      key: "name",
      title: t("models.name"),
      sort: (model) => model.name,
      render: (_, model) => (
        <div style={{ maxWidth: 300 }}>
          <Link className="name" to={`/models/${model.name}`}>{model.name}</Link>
          <div className="small quiet clip">{model.description}</div>
        </div>
      ),
    },
    { key: "type", title: t("models.type"), sort: (model) => model.type, render: (_, model) => t(`modelType.${model.type}`) },
    { key: "family", title: t("models.family"), optional: true, render: (_, model) => model.latest?.architecture.name ?? "–" },
    { key: "parameters", title: t("models.parameters"), number: true, optional: true, sort: (model) => model.latest?.parameters ?? 0, render: (_, model) => formatCount(model.latest?.parameters) },
    { key: "size", title: t("models.size"), number: true, sort: (model) => model.latest?.size_bytes ?? 0, render: (_, model) => formatBytes(model.latest?.size_bytes) },
    { key: "context", title: t("models.context"), number: true, sort: (model) => model.latest?.context_length ?? 0, render: (_, model) => formatContext(model.latest?.context_length) },
    { key: "format", title: t("models.format"), render: (_, model) => <span className="nowrap">{[model.latest?.format, model.latest?.quantization].filter(Boolean).join(" · ") || "–"}</span> },
    { key: "versions", title: t("models.versions"), number: true, sort: (model) => model.versions, render: (_, model) => model.versions },
    { key: "visibility", title: t("models.visibility"), render: (_, model) => (model.visibility === "public" ? t("visibility.public") : <span className="nowrap">{model.project}</span>) },
    { key: "used", title: t("models.usedBy"), render: (_, model) => <UsedBy names={model.used_by} /> },
    { key: "updated", title: t("models.updated"), optional: true, sort: (model) => model.updated_at, render: (_, model) => <Time at={model.updated_at} /> },
  ];
}

export function UsedBy({ names }: { names: string[] }) {
  if (names.length === 0) return <span className="quiet">–</span>;
  return (
    <span className="row wrap" style={{ gap: 4 }}>
      {names.slice(0, 3).map((name) => (
        <Link key={name} to={`/services/${name}`}><Tag style={{ margin: 0 }}>{name}</Tag></Link>
      ))}
      {names.length > 3 && <span className="small quiet">+{names.length - 3}</span>}
    </span>
  );
}
