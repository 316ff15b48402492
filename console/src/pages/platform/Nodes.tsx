import { ClusterOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import type { Node } from "../../api/schema";
import { DataTable } from "../../parts/DataTable";
import { formatBytes, formatNumber } from "../../parts/format";
import { Meter } from "../../parts/Meter";
import { Facts, Head } from "../../parts/Page";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { useUrl, useUrlMany } from "../../parts/url";
import { usePaging } from "../../queries/list";
import { nodePageQuery, poolsQuery } from "../../queries/nodes";
import { useMay } from "../../queries/session";
import { AddNode } from "./AddNode";
import { JoinTokens } from "./JoinTokens";
import { NodeActions } from "./NodeActions";
import { productsOf } from "./nodeProducts";

const STATES = ["ready", "lost", "cordoned"] as const;

export function Nodes() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const may = useMay();
  const [url] = useUrlMany();
  const [adding, setAdding] = useUrl("add");
  const nodes = useQuery(nodePageQuery({ ...usePaging(), state: STATES.find((value) => value === url.get("state")), pool: url.get("pool") ?? undefined }));
  const { data: pools } = useQuery(poolsQuery);
  const add = may("node:write", "*") && <Button type="primary" icon={<PlusOutlined />} onClick={() => setAdding("1")}>{t("join.add")}</Button>;
  return (
    <div className="page">
      <Head title={t("nav.nodes")} sub={t("nodes.sub")} actions={add} />
      {pools?.items.map((pool) => (
        <Facts
          key={pool.name}
          items={[
            [t("publish.pool"), pool.name],
            [t("nodes.nodes"), pool.nodes],
            ...(pool.accelerators > 0
              ? ([
                  [t("nodes.acceleratorsFree"), `${pool.accelerators_free} / ${pool.accelerators}${pool.accelerators_simulated ? ` (${t("nodes.simulatedOf", { count: pool.accelerators_simulated })})` : ""}`],
                  [t("nodes.memoryFree"), `${formatBytes(pool.memory_free_bytes)} / ${formatBytes(pool.memory_bytes)}`],
                ] as [string, string][])
              : []),
            [t("nodes.coresFree"), `${formatNumber(pool.cpu_cores_free)} / ${formatNumber(pool.cpu_cores)}`],
            [t("nodes.ramFree"), `${formatBytes(pool.host_memory_free_bytes)} / ${formatBytes(pool.host_memory_bytes)}`],
          ]}
        />
      ))}
      <DataTable<Node>
        name="nodes"
        listing={nodes}
        rowKey={(node) => node.id}
        onOpen={(node) => void navigate(`/platform/nodes/${node.id}`)}
        filters={[{ key: "state", label: t("services.state"), options: STATES.map((value) => ({ value, label: t(`state.${value}`) })) }, ...(pools && pools.items.length > 1 ? [{ key: "pool", label: t("publish.pool"), options: pools.items.map((pool) => ({ value: pool.name, label: pool.name })) }] : [])]}
        columns={[
          { key: "name", title: t("nodes.node"), sort: true, render: (_, node) => <Link className="name" to={`/platform/nodes/${node.id}`}>{node.name}</Link> },
          { key: "state", title: t("services.state"), render: (_, node) => <State state={node.state} reason={node.reason} /> },
          { key: "pool", title: t("publish.pool"), sort: true, render: (_, node) => node.pool },
          { key: "devices", title: t("nodes.accelerators"), render: (_, node) => <div style={{ maxWidth: 220, whiteSpace: "normal" }}>{productsOf(node.status?.accelerators ?? []) || "–"} {node.status?.accelerators.some((device) => device.simulated) && <span className="pill warn">{t("nodes.simulated")}</span>}</div> },
          {
            key: "memory",
            title: t("nodes.ram"),
            render: (_, node) =>
              node.status && (
                <div style={{ minWidth: 150 }}>
                  <div className="num small">{formatBytes(node.status.memory_used_bytes)} / {formatBytes(node.status.memory_bytes)}</div>
                  <Meter total={node.status.memory_bytes} parts={[{ label: t("nodes.ram"), value: node.status.memory_used_bytes }]} label={t("nodes.ram")} />
                </div>
              ),
          },
          { key: "cores", title: t("nodes.cores"), number: true, render: (_, node) => node.status?.cpu_cores ?? "–" },
          { key: "disk", title: t("nodes.disk"), number: true, render: (_, node) => formatBytes(node.status?.disk_free_bytes) },
          { key: "os", title: t("nodes.os"), optional: true, render: (_, node) => node.status?.os ?? "–" },
          { key: "agent", title: t("nodes.agent"), optional: true, render: (_, node) => node.status?.agent_version ?? "–" },
          { key: "seen_at", title: t("nodes.seen"), sort: true, render: (_, node) => <Time at={node.seen_at} /> },
          ...(may("node:write") ? [{ key: "actions", title: "", fixed: "end" as const, render: (_: unknown, node: Node) => <NodeActions node={node} menu /> }] : []),
        ]}
        empty={{ icon: <ClusterOutlined />, title: t("nodes.none"), text: t("nodes.noneText"), action: add }}
      />
      {may("node:write", "*") && <div style={{ marginTop: 16 }}><JoinTokens /></div>}
      {may("node:write", "*") && <AddNode open={adding !== ""} onClose={() => setAdding("")} />}
    </div>
  );
}
