import { ThunderboltOutlined } from "@ant-design/icons";
import { Tooltip } from "antd";
import { useTranslation } from "react-i18next";
import type { Accelerator } from "../../api/schema";
import { localized } from "../../app/sentences";
import { DataTable } from "../../parts/DataTable";
import { formatBytes, formatNumber, formatPercent } from "../../parts/format";
import { Meter } from "../../parts/Meter";
import { State } from "../../parts/State";

const unit = (value: number | null | undefined, text: string) => (value == null ? "–" : `${formatNumber(value)} ${text}`);

export function Devices({ devices }: { devices: Accelerator[] }) {
  const { t } = useTranslation();
  return (
    <DataTable<Accelerator>
      name="devices"
      listing={{ data: { items: devices, total: devices.length }, isPending: false, error: null, refetch: () => undefined }}
      rowKey={(device) => device.device_id}
      text={(device) => `${device.product} ${device.device_id} ${device.vendor}`}
      columns={[
        { key: "product", title: t("nodes.accelerator"), render: (_, device) => <div><span className="strong">{device.product}</span> {device.simulated && <span className="pill warn">{t("nodes.simulated")}</span>}<div className="small quiet mono">{device.device_id}</div></div> },
        { key: "vendor", title: t("nodes.vendor"), render: (_, device) => device.vendor },
        { key: "health", title: t("nodes.health"), render: (_, device) => <Health device={device} /> },
        {
          key: "memory",
          title: t("nodes.memory"),
          sort: (device) => device.metrics.memory_used_bytes ?? 0,
          render: (_, device) => (
            <div style={{ minWidth: 160 }}>
              <div className="num small">{formatBytes(device.metrics.memory_used_bytes)} / {formatBytes(device.memory_bytes)}</div>
              <Meter total={device.memory_bytes} parts={[{ label: t("nodes.memory"), value: device.metrics.memory_used_bytes ?? 0 }]} label={t("nodes.memory")} />
            </div>
          ),
        },
        { key: "busy", title: t("nodes.busy"), number: true, sort: (device) => device.metrics.utilization_percent ?? 0, render: (_, device) => formatPercent(device.metrics.utilization_percent == null ? null : device.metrics.utilization_percent / 100) },
        { key: "temperature", title: t("nodes.temperature"), number: true, render: (_, device) => unit(device.metrics.temperature_celsius, "°C") },
        { key: "power", title: t("nodes.power"), number: true, render: (_, device) => unit(device.metrics.power_watts, "W") },
        { key: "cores", title: t("nodes.cores"), number: true, optional: true, render: (_, device) => device.cores ?? "–" },
        { key: "slicing", title: t("nodes.slicing"), render: (_, device) => <Cutting device={device} /> },
        { key: "driver", title: t("nodes.driver"), render: (_, device) => device.driver_version ?? "–" },
        { key: "processes", title: t("nodes.processes"), number: true, render: (_, device) => device.metrics.processes.length },
      ]}
      empty={{ icon: <ThunderboltOutlined />, title: t("nodes.noDevices"), text: t("nodes.noDevicesText") }}
    />
  );
}

/** The state, and for each thing that ails the device its name, its cause, and what to do. */
function Health({ device }: { device: Accelerator }) {
  const { t } = useTranslation();
  return (
    <div>
      <State state={device.health} reason={device.health_reason} />
      {device.findings.map((finding) => (
        <div key={finding.code + finding.cause} className="small">
          <span className="strong">{t(`nodes.finding.${finding.code}`)}</span>
          <div className="quiet">{localized(finding.cause)}</div>
          <div>{localized(finding.action)}</div>
        </div>
      ))}
    </div>
  );
}

/** The mechanisms that cut the device on its node, or why none does. */
function Cutting({ device }: { device: Accelerator }) {
  const { t } = useTranslation();
  if (device.slicing.length === 0) {
    return <Tooltip title={localized(device.slicing_reason) || undefined}><span className="quiet">{t("nodes.slicingNone")}</span></Tooltip>;
  }
  return (
    <div>
      {device.slicing.map((way) => (
        <Tooltip key={way.mechanism} title={localized(way.note) || undefined}><div className="mono small">{way.mechanism}</div></Tooltip>
      ))}
    </div>
  );
}
