import { useQuery } from "@tanstack/react-query";
import { Button, Tabs, Tag } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useParams } from "react-router";
import { api, need } from "../../api/client";
import type { Pool, PoolNode, PoolView } from "../../api/schema";
import { localized } from "../../app/sentences";
import { Code } from "../../parts/Code";
import { ConfirmName } from "../../parts/ConfirmName";
import { Events } from "../../parts/Events";
import { PageSkeleton, ProblemView } from "../../parts/Feedback";
import { formatBytes, formatNumber } from "../../parts/format";
import { Facts, Head, Panel } from "../../parts/Page";
import { State } from "../../parts/State";
import { useTab } from "../../parts/url";
import { WaitingList } from "../../parts/WaitingList";
import { toYaml } from "../../parts/yaml";
import { poolViewQuery } from "../../queries/pools";
import { useMay } from "../../queries/session";
import { DeviceBars } from "./DeviceBars";
import { PoolDialog } from "./PoolDialog";
import { PoolHistory } from "./PoolHistory";
import { PoolMoves } from "./PoolMoves";
import { PoolQuotas } from "./PoolQuotas";
import { PoolReservations } from "./PoolReservations";
import { PurposeTag } from "./Pools";

/** One pool: its nodes with every accelerator and slice, who waits and why, and how quotas stand. */
export function PoolPage() {
  const { t } = useTranslation();
  const { name = "" } = useParams();
  const view = useQuery(poolViewQuery(name));
  const [tab, setTab] = useTab("map");
  if (view.error && !view.data) return <div className="page"><ProblemView error={view.error} retry={() => void view.refetch()} /></div>;
  if (!view.data) return <PageSkeleton />;
  const { pool, waiting } = view.data;
  return (
    <div className="page">
      <Head crumb={{ to: "/platform/pools", text: t("nav.pools") }} title={pool.name} state={<PurposeTag pool={pool} />} sub={pool.name === "default" ? localized(pool.description) : pool.description} actions={<Actions pool={pool} />} />
      {pool.closed && <div className="reason warn">{localized(pool.closed)}</div>}
      <Facts
        items={[
          [t("nodes.nodes"), `${pool.nodes_ready} / ${pool.nodes}`],
          [t("pools.cards"), `${pool.accelerators_used} / ${pool.accelerators}`],
          [t("nodes.memoryAll"), `${formatBytes(pool.memory_used_bytes)} / ${formatBytes(pool.memory_bytes)}`],
          [t("nodes.coresFree"), `${formatNumber(pool.cpu_cores_free)} / ${formatNumber(pool.cpu_cores)}`],
          [t("nodes.ramFree"), `${formatBytes(pool.host_memory_free_bytes)} / ${formatBytes(pool.host_memory_bytes)}`],
          [t("pools.storage"), `${formatBytes(pool.storage_used_bytes)} / ${formatBytes(pool.storage_bytes)}`],
          [t("pools.waiting"), pool.waiting],
          ...(pool.memory_oversubscription > 1 ? [[t("pools.oversubscription"), formatNumber(pool.memory_oversubscription)] as [string, string]] : []),
          [t("pools.policy"), t(`pools.policies.${pool.policy ?? "spread"}`)],
          [t("pools.unlike"), t(pool.unlike ? "word.yes" : "word.no")],
        ]}
      />
      <Tabs
        activeKey={tab}
        onChange={setTab}
        destroyOnHidden
        items={[
          { key: "map", label: t("pools.map"), children: <PoolMap view={view.data} /> },
          { key: "waiting", label: t("pools.waiting"), children: waiting.length ? <WaitingList waiting={waiting} /> : <section className="panel"><div className="quiet" style={{ padding: 16 }}>{t("pools.nobodyWaits")}</div></section> },
          { key: "quotas", label: t("pools.quotas"), children: <PoolQuotas quotas={view.data.quotas} borrowing={pool.borrowing} /> },
          { key: "reservations", label: t("pools.reservations"), children: <PoolReservations pool={pool.name} /> },
          { key: "moves", label: t("pools.movesTab"), children: <PoolMoves pool={pool.name} /> },
          { key: "history", label: t("pools.history"), children: <PoolHistory pool={pool.name} /> },
          { key: "events", label: t("events.title"), children: <Events kind="pool" name={pool.name} /> },
          { key: "yaml", label: "YAML", children: <Code text={toYaml(pool)} /> },
        ]}
      />
    </div>
  );
}

function PoolMap({ view }: { view: PoolView }) {
  const { t } = useTranslation();
  if (view.nodes.length === 0) return <section className="panel"><div className="quiet" style={{ padding: 16 }}>{t("pools.noNodes")}</div></section>;
  return (
    <div className="stack wide">
      <div className="small quiet">{t("pools.mapHint")}</div>
      {view.nodes.map((node) => <NodeMap key={node.id} node={node} />)}
    </div>
  );
}

function NodeMap({ node }: { node: PoolNode }) {
  const { t } = useTranslation();
  return (
    <Panel
      title={<span className="row wrap"><Link to={`/platform/nodes/${node.id}`}>{node.name}</Link><State state={node.draining && node.state === "cordoned" ? "draining" : node.state} reason={node.reason} /><NodeMarks node={node} /></span>}
      extra={<span className="small quiet num">{t("pools.nodeFree", { cores: formatNumber(Math.max(0, node.cpu_cores - node.cpu_cores_given)), memory: formatBytes(node.memory_free_bytes) })}</span>}
    >
      <div className="slicegrid">{node.devices.map((device) => <DeviceBars key={`${device.vendor}${device.device_id}`} device={device} />)}</div>
      {node.devices.length === 0 && <span className="quiet">{t("nodes.noStatus")}</span>}
    </Panel>
  );
}

/** Labels and taints of a node. */
export function NodeMarks({ node }: { node: Pick<PoolNode, "labels" | "taints"> }) {
  return (
    <>
      {Object.entries(node.labels).map(([key, value]) => <Tag key={key}>{key}={value}</Tag>)}
      {node.taints.map((taint) => <Tag key={taint.key} color="orange">{taint.key}{taint.value ? `=${taint.value}` : ""}:{taint.effect}</Tag>)}
    </>
  );
}

function Actions({ pool }: { pool: Pool }) {
  const { t } = useTranslation();
  const may = useMay();
  const navigate = useNavigate();
  const [asked, setAsked] = useState<"edit" | "remove" | null>(null);
  if (!may("node:write")) return null;
  const used = pool.nodes > 0 || pool.services > 0;
  const remove = async () => {
    await need(api.DELETE("/api/v1/pools/{name}", { params: { path: { name: pool.name } } }));
    void navigate("/platform/pools");
  };
  return (
    <>
      <Button onClick={() => setAsked("edit")}>{t("action.edit")}</Button>
      {pool.name !== "default" && <Button danger onClick={() => setAsked("remove")}>{t("action.remove")}</Button>}
      <PoolDialog open={asked === "edit"} editing={pool} onClose={() => setAsked(null)} />
      <ConfirmName name={pool.name} title={t("pools.removeTitle", { name: pool.name })} consequence={t("pools.removeText")} action={t("action.remove")} blocked={used ? t("pools.removeBlocked", { nodes: pool.nodes, services: pool.services }) : undefined} open={asked === "remove"} onClose={() => setAsked(null)} onConfirm={remove} />
    </>
  );
}
