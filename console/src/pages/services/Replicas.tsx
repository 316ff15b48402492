import { ClusterOutlined } from "@ant-design/icons";
import type { UseQueryResult } from "@tanstack/react-query";
import { Button, Progress, Tag } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Replica } from "../../api/schema";
import { localized } from "../../app/sentences";
import { DataTable } from "../../parts/DataTable";
import { formatBytes } from "../../parts/format";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";

/** Replicas on their cards, the ended ones too: their logs stay. */
export function Replicas({ replicas, onLog }: { replicas: UseQueryResult<{ items: Replica[]; total: number }>; onLog: (id: string) => void }) {
  const { t } = useTranslation();
  return (
    <DataTable<Replica>
      name="replicas"
      listing={replicas}
      rowKey={(replica) => replica.id}
      text={(replica) => `${replica.id} ${replica.node ?? ""} ${replica.state}`}
      columns={[
        {
          key: "id",
          title: t("services.replica"),
          sort: (replica) => replica.created_at,
          render: (_, replica) => (
            <div style={{ maxWidth: 320 }}>
              <span className="mono">{replica.id}</span>
              {replica.reason && <div className="small quiet" style={{ whiteSpace: "normal" }}>{localized(replica.reason)}</div>}
            </div>
          ),
        },
        { key: "state", title: t("services.state"), sort: (replica) => replica.state, render: (_, replica) => (replica.progress != null && replica.state !== "ready" ? <ReplicaProgress replica={replica} /> : <State state={replica.state} reason={replica.reason} />) },
        { key: "generation", title: t("services.generation"), number: true, render: (_, replica) => replica.generation },
        { key: "node", title: t("publish.node"), render: (_, replica) => <Nodes replica={replica} /> },
        { key: "devices", title: t("services.devices"), render: (_, replica) => replica.allocation?.devices.map((device) => <Tag key={device.device_id} style={{ marginInlineEnd: 4 }}>{device.vendor} {device.index}{device.compute_percent < 100 ? ` · ${device.compute_percent} %` : ""}</Tag>) ?? "–" },
        { key: "memory", title: t("services.memory"), number: true, render: (_, replica) => <span title={t("services.memoryPeak", { peak: formatBytes(replica.memory_peak_bytes) })}>{formatBytes(replica.memory_bytes)}</span> },
        { key: "restarts", title: t("services.restarts"), number: true, sort: (replica) => replica.restarts, render: (_, replica) => replica.restarts },
        { key: "pid", title: "PID", number: true, optional: true, render: (_, replica) => replica.pid ?? "–" },
        { key: "age", title: t("services.since"), render: (_, replica) => <Time at={replica.ended_at ?? replica.ready_at ?? replica.created_at} /> },
        { key: "log", title: "", render: (_, replica) => <Button size="small" onClick={() => onLog(replica.id)}>{t("services.log")}</Button> },
      ]}
      empty={{ icon: <ClusterOutlined />, title: t("services.noReplicas"), text: t("services.noReplicasText") }}
    />
  );
}

/** Its node; of one that spans nodes every member's, the leader's first. */
function Nodes({ replica }: { replica: Replica }) {
  const { t } = useTranslation();
  if (!replica.allocation) return "–";
  if (!replica.members?.length) return <Link to={`/platform/nodes/${replica.allocation.node_id}`}>{replica.node ?? replica.allocation.node_id}</Link>;
  return replica.members.map((member, rank) => (
    <div key={member.node_id} className="row">
      <Link to={`/platform/nodes/${member.node_id}`}>{member.node}</Link>
      <span className="small quiet">{rank === 0 ? t("services.leads") : t("services.member", { rank })}</span>
      {member.state && <State state={member.state} reason={member.reason} />}
    </div>
  ));
}

export function ReplicaProgress({ replica }: { replica: Replica }) {
  const { t } = useTranslation();
  const percent = replica.progress == null ? undefined : Math.round(replica.progress * 100);
  return (
    <div style={{ minWidth: 200 }}>
      <div className="row spread small"><State state={replica.state} reason={replica.reason} /><span className="quiet clip">{localized(replica.phase)}</span></div>
      {percent !== undefined && replica.state !== "ready" && <Progress percent={percent} size="small" status="active" aria-label={t("services.replica")} />}
    </div>
  );
}
