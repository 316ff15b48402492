import { ClusterOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Tag } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { localized } from "../../app/sentences";
import type { Replica } from "../../api/schema";
import { DataTable } from "../../parts/DataTable";
import { formatBytes } from "../../parts/format";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { usePaging } from "../../queries/list";
import { nodeReplicasQuery } from "../../queries/nodes";

/** What runs on a node, and what ran there. */
export function NodeReplicas({ node }: { node: string }) {
  const { t } = useTranslation();
  const { offset, limit } = usePaging();
  const listing = useQuery(nodeReplicasQuery(node, { offset, limit }));
  return (
    <DataTable<Replica>
      name="node-replicas"
      listing={listing}
      searchable={false}
      rowKey={(replica) => replica.id}
      columns={[
        { key: "service", title: t("search.service"), render: (_, replica) => <Link className="name" to={`/services/${replica.service}`}>{replica.service}</Link> },
        {
          key: "replica",
          title: t("services.replica"),
          render: (_, replica) => (
            <div style={{ maxWidth: 320 }}>
              <Link className="mono" to={`/services/${replica.service}?tab=logs&replica=${replica.id}`}>{replica.id}</Link>
              {replica.reason && <div className="small quiet" style={{ whiteSpace: "normal" }}>{localized(replica.reason)}</div>}
            </div>
          ),
        },
        { key: "state", title: t("services.state"), render: (_, replica) => <State state={replica.state} reason={replica.reason} /> },
        { key: "devices", title: t("services.devices"), render: (_, replica) => (replica.allocation?.devices.length ? replica.allocation.devices.map((device) => <Tag key={device.device_id} style={{ marginInlineEnd: 4 }}>{device.vendor} {device.index}{device.compute_percent < 100 ? ` · ${device.compute_percent} %` : ""}</Tag>) : "–") },
        { key: "cores", title: t("nodes.cores"), number: true, render: (_, replica) => replica.allocation?.cpu_cores ?? "–" },
        { key: "memory", title: t("services.memory"), number: true, render: (_, replica) => <span title={t("services.memoryPeak", { peak: formatBytes(replica.memory_peak_bytes) })}>{formatBytes(replica.memory_bytes)}</span> },
        { key: "restarts", title: t("services.restarts"), number: true, render: (_, replica) => replica.restarts },
        { key: "since", title: t("services.since"), render: (_, replica) => <Time at={replica.ended_at ?? replica.ready_at ?? replica.created_at} /> },
      ]}
      empty={{ icon: <ClusterOutlined />, title: t("nodes.noReplicas"), text: t("nodes.noReplicasText") }}
    />
  );
}
