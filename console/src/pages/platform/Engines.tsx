import { DeleteOutlined, DownloadOutlined, ThunderboltOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Collapse, Progress, Skeleton, Table, Tag } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { EngineInfo, InstalledEnvironment } from "../../api/schema";
import { localized } from "../../app/sentences";
import { ConfirmName } from "../../parts/ConfirmName";
import { Empty, ProblemView } from "../../parts/Feedback";
import { formatBytes } from "../../parts/format";
import { Head, Panel } from "../../parts/Page";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { enginesQuery } from "../../queries/nodes";
import { useMay } from "../../queries/session";
import { UsedBy } from "../models/Models";
import { InstallEngine } from "./InstallEngine";

export function Engines() {
  const { t } = useTranslation();
  const busy = (items: EngineInfo[] | undefined) => items?.some((engine) => engine.environments.some((environment) => environment.status.state === "installing"));
  const engines = useQuery({ ...enginesQuery, refetchInterval: (query) => (busy(query.state.data?.items) ? 2000 : false) });
  return (
    <div className="page">
      <Head title={t("nav.engines")} sub={t("engines.sub")} />
      {engines.error ? <ProblemView error={engines.error} retry={() => void engines.refetch()} /> : engines.isPending ? <Skeleton active /> : engines.data.items.length === 0 ? (
        <section className="panel"><Empty icon={<ThunderboltOutlined />} title={t("engines.none")} text="" /></section>
      ) : (
        <div className="stack wide">{engines.data.items.filter((engine) => !engine.internal).map((engine) => <Engine key={engine.name} engine={engine} />)}</div>
      )}
    </div>
  );
}

function Engine({ engine }: { engine: EngineInfo }) {
  const { t } = useTranslation();
  const may = useMay();
  const [installing, setInstalling] = useState(false);
  return (
    <Panel
      title={<span className="row">{engine.title} {engine.formats.map((format) => <Tag key={format} style={{ margin: 0 }}>{format}</Tag>)}</span>}
      extra={may("engine:write") && <Button size="small" icon={<DownloadOutlined />} onClick={() => setInstalling(true)}>{t("engines.install")}</Button>}
      flush
    >
      <Environments engine={engine} />
      <Collapse
        ghost
        size="small"
        items={[
          { key: "endpoints", label: t("engines.endpoints"), children: Object.entries(engine.endpoints).map(([type, paths]) => <div key={type} className="row wrap"><span className="quiet">{type}</span>{paths.map((path) => <code key={path} className="mono">{path}</code>)}</div>) },
          {
            key: "flags",
            label: t("engines.flags", { count: engine.flags.length }),
            children: <Table size="small" rowKey="name" pagination={false} scroll={{ x: "max-content" }} dataSource={engine.flags} columns={[{ title: t("publish.flag"), dataIndex: "name", className: "mono" }, { title: t("models.type"), dataIndex: "type" }, { title: t("models.description"), dataIndex: "description", render: (text: string) => localized(text) }]} />,
          },
        ]}
      />
      <InstallEngine engine={engine} open={installing} onClose={() => setInstalling(false)} />
    </Panel>
  );
}

function Environments({ engine }: { engine: EngineInfo }) {
  const { t } = useTranslation();
  const may = useMay();
  const [removing, setRemoving] = useState<InstalledEnvironment | null>(null);
  const environments = engine.environments.filter((environment) => environment.status.state !== "absent");
  if (environments.length === 0) return <div className="quiet" style={{ padding: 16 }}>{t("engines.notInstalled", { versions: engine.versions.join(", ") })}</div>;
  return (
    <>
      <Table<InstalledEnvironment>
        size="middle"
        pagination={false}
        scroll={{ x: "max-content" }}
        rowKey={(row) => `${row.node}${row.status.version}${row.status.variant}`}
        dataSource={environments}
        columns={[
          { title: t("models.version"), render: (_, row) => <b className="num">{row.status.version}</b> },
          { title: t("engines.variant"), render: (_, row) => row.status.variant },
          { title: t("nodes.node"), render: (_, row) => row.node },
          {
            title: t("services.state"),
            render: (_, row) => (
              <div style={{ minWidth: 180 }}>
                <div className="row"><State state={row.status.state} reason={row.status.message} />{row.status.state === "installing" && <span className="small quiet">{localized(row.status.phase)}</span>}</div>
                {row.status.state === "installing" && row.status.progress != null && <Progress percent={Math.round(row.status.progress * 100)} size="small" status="active" aria-label={t("engines.install")} />}
              </div>
            ),
          },
          { title: t("engines.lastError"), render: (_, row) => (row.status.state === "broken" || row.status.message ? <div className="pre small" style={{ maxWidth: 320 }}>{localized(row.status.message) || t("engines.noReason")}</div> : <span className="quiet">–</span>) },
          { title: t("models.size"), align: "right", className: "num", render: (_, row) => formatBytes(row.status.size_bytes) },
          { title: t("engines.built"), render: (_, row) => <Time at={row.status.built_at} /> },
          { title: t("models.usedBy"), render: (_, row) => <UsedBy names={row.used_by} /> },
          { title: "", render: (_, row) => may("engine:write") && <Button size="small" type="text" danger icon={<DeleteOutlined />} aria-label={t("action.remove")} title={t("action.remove")} onClick={() => setRemoving(row)} /> },
        ]}
      />
      <ConfirmName
        open={removing !== null}
        onClose={() => setRemoving(null)}
        name={`${engine.name} ${removing?.status.version ?? ""}`}
        title={t("engines.removeTitle", { name: engine.title, version: removing?.status.version })}
        blocked={removing && removing.used_by.length > 0 && <><p>{t("engines.inUse")}</p><UsedBy names={removing.used_by} /></>}
        consequence={t("engines.removeText")}
        action={t("action.remove")}
        onConfirm={() => need(api.DELETE("/api/v1/engines/{name}/{version}", { params: { path: { name: engine.name, version: removing?.status.version ?? "" }, query: { variant: removing?.status.variant } } }))}
      />
    </>
  );
}
