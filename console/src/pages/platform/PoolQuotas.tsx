import { Table } from "antd";
import { useTranslation } from "react-i18next";
import type { QuotaUse } from "../../api/schema";
import { formatBytes, formatNumber } from "../../parts/format";
import { Meter } from "../../parts/Meter";
import { Panel } from "../../parts/Page";

/** What each project may hold of a pool, and what it holds now. */
export function PoolQuotas({ quotas, borrowing }: { quotas: QuotaUse[]; borrowing: boolean }) {
  const { t } = useTranslation();
  return (
    <Panel flush>
      <div className="small quiet" style={{ padding: 16 }}>{t(borrowing ? "pools.borrowingOn" : "pools.borrowingOff")}</div>
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
          ...(borrowing
            ? [
                { title: t("pools.borrowed"), render: (_: unknown, row: QuotaUse) => <Loan held={row.borrowed} /> },
                { title: t("pools.lendable"), render: (_: unknown, row: QuotaUse) => <Loan held={row.lendable} /> },
              ]
            : []),
        ]}
      />
    </Panel>
  );
}

function Loan({ held }: { held: QuotaUse["held"] }) {
  const { t } = useTranslation();
  const parts = [
    held.accelerators > 0 && t("pools.loanCards", { count: held.accelerators }),
    held.compute_percent > 0 && `${formatNumber(held.compute_percent)} %`,
    held.memory_bytes > 0 && formatBytes(held.memory_bytes),
  ].filter(Boolean);
  return <span className="num small">{parts.join(", ") || "–"}</span>;
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
