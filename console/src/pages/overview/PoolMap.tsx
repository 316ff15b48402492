import { useQuery } from "@tanstack/react-query";
import { Skeleton, Tooltip } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Accelerator } from "../../api/schema";
import { ProblemView } from "../../parts/Feedback";
import { formatBytes, formatPercent } from "../../parts/format";
import { Panel } from "../../parts/Page";
import { State } from "../../parts/State";
import { nodesQuery } from "../../queries/nodes";

/** Node by accelerator: width is memory taken, heat is how busy the device is. */
export function PoolMap() {
  const { t } = useTranslation();
  const { data, error, refetch } = useQuery(nodesQuery());
  return (
    <Panel title={t("overview.pool")} extra={<span className="small quiet">{t("overview.poolHint")}</span>}>
      {error ? <ProblemView error={error} retry={() => void refetch()} /> : !data ? <Skeleton active title={false} /> : data.items.length === 0 ? <span className="quiet">{t("nodes.none")}</span> : (
        <div className="poolmap">
          {data.items.map((node) => (
            <div key={node.id} style={{ display: "contents" }}>
              <div className="stack" style={{ gap: 2 }}>
                <Link to={`/platform/nodes/${node.id}`} className="strong">{node.name}</Link>
                <State state={node.state} reason={node.reason} />
              </div>
              <div className="devices">{node.status?.accelerators.map((device) => <Device key={device.device_id} device={device} />)}</div>
            </div>
          ))}
        </div>
      )}
    </Panel>
  );
}

function Device({ device }: { device: Accelerator }) {
  const { t } = useTranslation();
  const used = device.metrics.memory_used_bytes ?? 0;
  const busy = device.metrics.utilization_percent;
  const tone = device.health === "failed" ? "bad" : device.health === "degraded" ? "warn" : "";
  return (
    <Tooltip title={<>{device.product}<br />{t("nodes.busy")}: {busy == null ? "–" : formatPercent(busy / 100)}<br />{device.health_reason}</>}>
      <div className={`device ${tone}`} tabIndex={0} style={{ "--heat": `${18 + (busy ?? 0) * 0.5}%` } as React.CSSProperties}>
        <div className="row spread"><span className="clip">{device.product}</span><span className="num quiet">{device.index}</span></div>
        <div className="bar"><span style={{ width: `${Math.min(100, (used / Math.max(1, device.memory_bytes)) * 100)}%` }} /><em className="num">{formatBytes(used)}</em></div>
        <div className="row spread quiet num"><span>{formatBytes(device.memory_bytes)}</span><span>{busy == null ? "" : formatPercent(busy / 100)}</span></div>
      </div>
    </Tooltip>
  );
}
