import { useQuery } from "@tanstack/react-query";
import { Tabs } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link, useParams } from "react-router";
import { localized } from "../../app/sentences";
import { Code } from "../../parts/Code";
import { Events } from "../../parts/Events";
import { PageSkeleton, ProblemView } from "../../parts/Feedback";
import { formatBytes } from "../../parts/format";
import { Facts, Head } from "../../parts/Page";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { useTab } from "../../parts/url";
import { toYaml } from "../../parts/yaml";
import { nodeQuery } from "../../queries/nodes";
import { useMay } from "../../queries/session";
import { Devices } from "./Devices";
import { NodeActions } from "./NodeActions";
import { NodeCharts } from "./NodeCharts";
import { NodeReplicas } from "./NodeReplicas";
import { NodeSummary } from "./NodeSummary";
import { NodeMarks } from "./Pool";

export function NodePage() {
  const { t } = useTranslation();
  const { id = "" } = useParams();
  const may = useMay();
  const node = useQuery(nodeQuery(id));
  const [tab, setTab] = useTab("summary");
  if (node.error && !node.data) return <div className="page"><ProblemView error={node.error} retry={() => void node.refetch()} /></div>;
  if (!node.data) return <PageSkeleton />;
  const { data } = node;
  const status = data.status;
  return (
    <div className="page">
      <Head
        crumb={{ to: "/platform/nodes", text: t("nav.nodes") }}
        title={data.name}
        state={<State state={data.draining && data.state === "cordoned" ? "draining" : data.state} reason={data.reason} />}
        sub={status ? `${status.os} · ${status.architecture} · ${t("nodes.agent")} ${status.agent_version}` : undefined}
        actions={may("node:write") && <NodeActions node={data} />}
      />
      {data.reason && <div className={`reason ${data.state === "lost" ? "bad" : "warn"}`}>{localized(data.reason)}</div>}
      <Facts
        items={[
          [t("publish.pool"), <Link key="pool" to={`/platform/pools/${data.pool}`}>{data.pool}</Link>],
          ...(Object.keys(data.labels).length + data.taints.length > 0 ? [[t("nodes.marks"), <NodeMarks key="marks" node={data} />] as [string, ReactNode]] : []),
          [t("nodes.accelerators"), status ? status.accelerators.filter((device) => device.vendor !== "cpu").length : "–"],
          [t("nodes.cores"), status?.cpu_cores ?? "–"],
          [t("nodes.ram"), status ? `${formatBytes(status.memory_used_bytes)} / ${formatBytes(status.memory_bytes)}` : "–"],
          [t("nodes.disk"), formatBytes(status?.disk_free_bytes)],
          [t("nodes.seen"), <Time key="seen" at={data.seen_at} />],
        ]}
      />
      <Tabs
        activeKey={tab}
        onChange={setTab}
        destroyOnHidden
        items={[
          { key: "summary", label: t("models.tabSummary"), children: <NodeSummary node={data} /> },
          { key: "devices", label: t("nodes.accelerators"), children: <Devices devices={status?.accelerators ?? []} /> },
          ...(may("service:read") ? [{ key: "replicas", label: t("services.replicas"), children: <NodeReplicas node={data.id} /> }] : []),
          { key: "charts", label: t("services.metrics"), children: <NodeCharts node={data.id} /> },
          { key: "events", label: t("events.title"), children: <Events kind="node" name={data.name} /> },
          { key: "yaml", label: "YAML", children: <Code text={toYaml(data)} /> },
        ]}
      />
    </div>
  );
}
