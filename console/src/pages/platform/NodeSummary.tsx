import { useQuery } from "@tanstack/react-query";
import { Table } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { EnvironmentStatus, Node } from "../../api/schema";
import { formatBytes, formatNumber } from "../../parts/format";
import { Meter } from "../../parts/Meter";
import { Facts, Panel } from "../../parts/Page";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { poolsQuery } from "../../queries/nodes";

/** What a node has and how much of it is taken, the pool it is in, and the engines on it. */
export function NodeSummary({ node }: { node: Node }) {
  const { t } = useTranslation();
  const { data: pools } = useQuery(poolsQuery);
  const { status } = node;
  const pool = pools?.items.find((item) => item.name === node.pool);
  if (!status) return <section className="panel"><div className="quiet" style={{ padding: 16 }}>{t("nodes.noStatus")}</div></section>;
  // The processors are listed as a device too; their memory is the node's own.
  const cards = status.accelerators.filter((device) => device.vendor !== "cpu");
  const total = cards.reduce((sum, device) => sum + device.memory_bytes, 0);
  const used = cards.reduce((sum, device) => sum + (device.metrics.memory_used_bytes ?? 0), 0);
  return (
    <div className="stack wide">
      <div className="grid2">
        <Panel title={t("nodes.ram")}><Share used={status.memory_used_bytes} total={status.memory_bytes} label={t("nodes.ram")} /></Panel>
        <Panel title={t("nodes.memoryAll")}>{total > 0 ? <Share used={used} total={total} label={t("nodes.memoryAll")} /> : <span className="quiet">{t("nodes.noDevices")}</span>}</Panel>
      </div>
      {pool && (
        <div>
          <h2 className="section">{t("nodes.inPool", { pool: pool.name })}</h2>
          <Facts
            items={[
              [t("nodes.nodes"), pool.nodes],
              [t("nodes.acceleratorsFree"), `${pool.accelerators_free} / ${pool.accelerators}`],
              [t("nodes.coresFree"), `${formatNumber(pool.cpu_cores_free)} / ${formatNumber(pool.cpu_cores)}`],
              [t("nodes.ramFree"), `${formatBytes(pool.host_memory_free_bytes)} / ${formatBytes(pool.host_memory_bytes)}`],
            ]}
          />
        </div>
      )}
      <Panel title={t("nav.engines")} extra={<Link to="/platform/engines">{t("overview.all")}</Link>} flush>
        <Table<EnvironmentStatus>
          size="middle"
          pagination={false}
          scroll={{ x: "max-content" }}
          rowKey={(row) => `${row.engine}${row.version}${row.variant}`}
          dataSource={status.environments.filter((item) => item.state !== "absent")}
          locale={{ emptyText: <span className="quiet">{t("nodes.noEngines")}</span> }}
          columns={[
            { title: t("services.engine"), render: (_, row) => <b>{row.engine}</b> },
            { title: t("models.version"), className: "num", dataIndex: "version" },
            { title: t("engines.variant"), dataIndex: "variant" },
            { title: t("services.state"), render: (_, row) => <State state={row.state} reason={row.message} /> },
            { title: t("models.size"), align: "right", className: "num", render: (_, row) => formatBytes(row.size_bytes) },
            { title: t("engines.built"), render: (_, row) => <Time at={row.built_at} /> },
          ]}
        />
      </Panel>
    </div>
  );
}

function Share({ used, total, label }: { used: number; total: number; label: string }) {
  return (
    <div className="stack">
      <span className="num">{formatBytes(used)} / {formatBytes(total)}</span>
      <Meter total={total} parts={[{ label, value: used }]} label={label} />
    </div>
  );
}
