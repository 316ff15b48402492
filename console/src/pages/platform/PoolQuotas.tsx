import { Table } from "antd";
import { useTranslation } from "react-i18next";
import type { QuotaUse } from "../../api/schema";
import { formatBytes, formatNumber } from "../../parts/format";
import { Meter } from "../../parts/Meter";
import { Panel } from "../../parts/Page";

/** What each project may hold of a pool, and what it holds now. */
export function PoolQuotas({ quotas }: { quotas: QuotaUse[] }) {
  const { t } = useTranslation();
  return (
    <Panel flush>
      <Table<QuotaUse>
        size="middle"
        pagination={false}
        scroll={{ x: "max-content" }}
        rowKey={(row) => row.quota.project}
        dataSource={quotas}
        locale={{ emptyText: <span className="quiet">{t("pools.noQuotas")}</span> }}
        columns={[
          { title: t("keys.project"), render: (_, row) => <b>{row.quota.project}</b> },
          { title: t("nodes.accelerators"), render: (_, row) => <Use held={row.held.accelerators} limit={row.quota.accelerators} say={formatNumber} label={t("nodes.accelerators")} /> },
          { title: t("pools.computePercent"), render: (_, row) => <Use held={row.held.compute_percent} limit={row.quota.compute_percent} say={formatNumber} label={t("pools.computePercent")} /> },
          { title: t("nodes.memoryAll"), render: (_, row) => <Use held={row.held.memory_bytes} limit={row.quota.memory_bytes} say={formatBytes} label={t("nodes.memoryAll")} /> },
        ]}
      />
    </Panel>
  );
}

function Use({ held, limit, say, label }: { held: number; limit?: number | null; say: (value: number) => string; label: string }) {
  const { t } = useTranslation();
  return (
    <div style={{ minWidth: 140 }}>
      <div className="num small">{say(held)} / {limit == null ? t("limits.none") : say(limit)}</div>
      {limit != null && <Meter total={limit} parts={[{ label, value: held }]} label={label} />}
    </div>
  );
}
