import { useQuery } from "@tanstack/react-query";
import { Button, Popconfirm, Table } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { api, need } from "../../api/client";
import type { ProposedMove } from "../../api/schema";
import { ProblemView } from "../../parts/Feedback";
import { formatBytes } from "../../parts/format";
import { Panel } from "../../parts/Page";
import { useAction } from "../../queries/action";
import { movesQuery } from "../../queries/pools";
import { useMay } from "../../queries/session";

/** Which replicas would move so that whole accelerators become free, and having it done. */
export function PoolMoves({ pool }: { pool: string }) {
  const { t } = useTranslation();
  const may = useMay();
  const found = useQuery(movesQuery(pool));
  const apply = useAction(() => need(api.POST("/api/v1/pools/{name}/defragmentation", { params: { path: { name: pool } }, body: { replicas: (found.data?.moves ?? []).map(({ replica }) => replica) } })), ["pool", "replica", "service"], { done: t("pools.movesStarted") });
  if (found.error && !found.data) return <ProblemView error={found.error} retry={() => void found.refetch()} />;
  const { moves = [], freed = [], helps = [], under_way = [] } = found.data ?? {};
  const button = may("node:write") && moves.length > 0 && (
    <Popconfirm title={t("pools.movesAsk", { count: moves.length })} okText={t("pools.movesApply")} cancelText={t("action.cancel")} onConfirm={() => apply.mutate(undefined)}>
      <Button type="primary" size="small" loading={apply.isPending}>{t("pools.movesApply")}</Button>
    </Popconfirm>
  );
  return (
    <Panel flush title={t("pools.moves")} extra={button}>
      <div className="stack" style={{ padding: 16 }}>
        <div className="small quiet">{t("pools.movesHint")}</div>
        {under_way.length > 0 && <div className="reason">{t("pools.movesUnderWay", { replicas: under_way.join(", ") })}</div>}
        {freed.length > 0 && <div>{t("pools.movesFree")} <b>{freed.map((card) => `${card.node}: ${card.accelerator} (${formatBytes(card.memory_bytes)})`).join(", ")}</b></div>}
        {helps.length > 0 && <div>{t("pools.movesHelp")} {helps.map((name) => <Link key={name} to={`/services/${name}`} style={{ marginInlineEnd: 8 }}>{name}</Link>)}</div>}
      </div>
      <Table<ProposedMove>
        size="middle"
        pagination={false}
        loading={found.isPending}
        scroll={{ x: "max-content" }}
        rowKey={(move) => move.replica}
        dataSource={moves}
        locale={{ emptyText: <span className="quiet">{t("pools.movesNone")}</span> }}
        columns={[
          { title: t("search.service"), render: (_, move) => <div>{move.service == null ? t("pools.otherProject") : <Link to={`/services/${move.service}`}>{move.service}</Link>}<div className="mono small quiet">{move.replica}</div></div> },
          { title: t("pools.holds"), render: (_, move) => <span className="num">{move.compute_percent} %, {formatBytes(move.memory_bytes)}</span> },
          { title: t("pools.movesFrom"), render: (_, move) => `${move.from_node}: ${move.from_accelerator}` },
          { title: t("pools.movesTo"), render: (_, move) => `${move.node}: ${move.accelerator}` },
        ]}
      />
    </Panel>
  );
}
