import { ThunderboltOutlined } from "@ant-design/icons";
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
        { key: "health", title: t("nodes.health"), render: (_, device) => <div><State state={device.health} reason={device.health_reason} />{device.health_reason && <div className="small quiet">{localized(device.health_reason)}</div>}</div> },
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
        { key: "driver", title: t("nodes.driver"), render: (_, device) => device.driver_version ?? "–" },
        { key: "processes", title: t("nodes.processes"), number: true, render: (_, device) => device.metrics.processes.length },
      ]}
      empty={{ icon: <ThunderboltOutlined />, title: t("nodes.noDevices"), text: t("nodes.noDevicesText") }}
    />
  );
}
