import { RocketOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Dropdown, Select, Tabs, Tag } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate, useParams } from "react-router";
import { api, need } from "../../api/client";
import type { Model } from "../../api/schema";
import { Code } from "../../parts/Code";
import { ConfirmName } from "../../parts/ConfirmName";
import { Events } from "../../parts/Events";
import { PageSkeleton, ProblemView } from "../../parts/Feedback";
import { formatBytes, formatContext, formatCount } from "../../parts/format";
import { Facts, Head } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { useUrl } from "../../parts/url";
import { toYaml } from "../../parts/yaml";
import { modelQuery, versionsQuery } from "../../queries/models";
import { useMay } from "../../queries/session";
import { EditModel } from "./EditModel";
import { Files } from "./Files";
import { ImportDialog } from "./ImportDialog";
import { MemoryCalculator } from "./MemoryCalculator";
import { UsedBy } from "./Models";
import { ModelSummary } from "./ModelSummary";
import { Versions } from "./Versions";
import { WhereItRuns } from "./WhereItRuns";

/** The model as `aicp apply -f` takes it; `latest` moves by itself. */
function documentOf({ name, description, type, visibility, project, aliases }: Model): object {
  const moved = Object.fromEntries(Object.entries(aliases).filter(([alias]) => alias !== "latest"));
  return { kind: "model", name, description, type, visibility, project, ...(Object.keys(moved).length ? { aliases: moved } : {}) };
}

export function ModelPage() {
  const { t } = useTranslation();
  const { name = "" } = useParams();
  const navigate = useNavigate();
  const may = useMay();
  const model = useQuery(modelQuery(name));
  const versions = useQuery(versionsQuery(name));
  const [tab, setTab] = useUrl("tab", "summary");
  const [chosen, setChosen] = useUrl("version");
  const [dialog, setDialog] = useState<"delete" | "edit" | "import" | null>(null);
  if (model.error) return <div className="page"><ProblemView error={model.error} retry={() => void model.refetch()} /></div>;
  if (!model.data || versions.isPending) return <PageSkeleton />;

  const { data } = model;
  const version = versions.data?.items.find((item) => item.version === chosen) ?? data.latest ?? versions.data?.items[0];
  const writes = may("model:write", data.project);
  const tabs = [
    ...(version ? [{ key: "summary", label: t("models.tabSummary"), children: <ModelSummary version={version} /> }] : []),
    { key: "versions", label: t("models.tabVersions"), children: <Versions model={data} versions={versions} writes={writes} /> },
    ...(version ? [{ key: "files", label: t("models.tabFiles"), children: <Files version={version} /> }] : []),
    ...(may("service:read") ? [{ key: "runs", label: t("lineage.runs"), children: <WhereItRuns model={data.name} /> }] : []),
    ...(version && may("service:read") ? [{ key: "memory", label: t("models.tabMemory"), children: <MemoryCalculator key={version.id} version={version} /> }] : []),
    { key: "events", label: t("events.title"), children: <Events kind="model" name={data.name} /> },
    { key: "yaml", label: "YAML", children: <Code text={toYaml(documentOf(data))} /> },
  ];
  return (
    <div className="page">
      <Head
        crumb={{ to: "/models", text: t("nav.models") }}
        title={data.name}
        state={<><Tag>{t(`modelType.${data.type}`)}</Tag><Tag>{t(`visibility.${data.visibility}`)}</Tag></>}
        sub={data.description}
        actions={
          <>
            {version && <Select aria-label={t("models.version")} value={version.version} onChange={setChosen} options={versions.data?.items.map((item) => ({ value: item.version, label: item.version }))} style={{ minWidth: 96 }} />}
            {writes && (
              <Dropdown trigger={["click"]} menu={{ items: [{ key: "import", label: t("models.addVersion") }, { key: "edit", label: t("action.edit") }, { type: "divider" }, { key: "delete", danger: true, label: t("action.delete") }], onClick: ({ key }) => setDialog(key as "edit") }}>
                <Button>{t("action.more")}</Button>
              </Dropdown>
            )}
            {may("service:write") && version && <Button type="primary" icon={<RocketOutlined />} onClick={() => void navigate(`/services/new?model=${data.name}&version=${version.version}`)}>{t("services.publish")}</Button>}
          </>
        }
      />
      <Facts
        items={[
          [t("models.parameters"), formatCount(version?.parameters)],
          [t("models.size"), formatBytes(version?.size_bytes)],
          [t("models.context"), formatContext(version?.context_length)],
          [t("models.format"), [version?.format, version?.quantization ?? version?.dtype].filter(Boolean).join(" · ") || "–"],
          [t("models.license"), version?.license ?? t("models.licenseUnknown")],
          [t("models.usedBy"), <UsedBy key="used" names={data.used_by} />],
          [t("models.updated"), <Time key="updated" at={data.updated_at} />],
        ]}
      />
      <Tabs activeKey={tabs.some((item) => item.key === tab) ? tab : tabs[0]?.key} onChange={setTab} items={tabs} destroyOnHidden />
      <ConfirmName
        open={dialog === "delete"}
        onClose={() => setDialog(null)}
        name={data.name}
        title={t("models.deleteTitle", { name: data.name })}
        consequence={t("models.deleteText", { count: data.versions })}
        action={t("action.delete")}
        onConfirm={async () => {
          await need(api.DELETE("/api/v1/models/{name}", { params: { path: { name } } }));
          await navigate("/models");
        }}
      />
      <EditModel model={data} open={dialog === "edit"} onClose={() => setDialog(null)} />
      <ImportDialog model={data.name} open={dialog === "import"} onClose={() => setDialog(null)} />
    </div>
  );
}
