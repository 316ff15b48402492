import { AppstoreAddOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Tag } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Pool } from "../../api/schema";
import { localized } from "../../app/sentences";
import { Empty, PageSkeleton, ProblemView } from "../../parts/Feedback";
import { formatBytes, formatNumber } from "../../parts/format";
import { Meter } from "../../parts/Meter";
import { Head, Panel } from "../../parts/Page";
import { useUrl } from "../../parts/url";
import { poolsQuery } from "../../queries/nodes";
import { useMay } from "../../queries/session";
import { PoolDialog } from "./PoolDialog";

/** Every pool as a card: what it is for, what it has, what is taken, who waits. */
export function Pools() {
  const { t } = useTranslation();
  const may = useMay();
  const pools = useQuery({ ...poolsQuery, refetchInterval: 10_000 });
  const [creating, setCreating] = useUrl("create");
  const create = may("node:write") && <Button type="primary" icon={<PlusOutlined />} onClick={() => setCreating("1")}>{t("pools.create")}</Button>;
  if (!pools.data && !pools.error) return <PageSkeleton />;
  return (
    <div className="page">
      <Head title={t("nav.pools")} sub={t("pools.sub")} actions={create} />
      {!pools.data && <ProblemView error={pools.error} retry={() => void pools.refetch()} />}
      {pools.data?.items.length === 0 && <section className="panel"><Empty icon={<AppstoreAddOutlined />} title={t("pools.none")} text={t("pools.sub")} /></section>}
      <div className="poolcards">{pools.data?.items.map((pool) => <PoolCard key={pool.name} pool={pool} />)}</div>
      <PoolDialog open={creating !== ""} onClose={() => setCreating("")} />
    </div>
  );
}

function PoolCard({ pool }: { pool: Pool }) {
  const { t } = useTranslation();
  const lines = [
    { label: t("pools.cards"), used: pool.accelerators_used, total: pool.accelerators, say: formatNumber },
    { label: t("nodes.memoryAll"), used: pool.memory_used_bytes, total: pool.memory_bytes, say: formatBytes },
    { label: t("nodes.cores"), used: pool.cpu_cores - pool.cpu_cores_free, total: pool.cpu_cores, say: formatNumber },
    { label: t("nodes.ram"), used: pool.host_memory_bytes - pool.host_memory_free_bytes, total: pool.host_memory_bytes, say: formatBytes },
    { label: t("pools.storage"), used: pool.storage_used_bytes, total: pool.storage_bytes, say: formatBytes },
  ].filter((line) => line.total > 0);
  return (
    <Panel title={<Link to={`/platform/pools/${pool.name}`}>{pool.name}</Link>} extra={<PurposeTag pool={pool} />}>
      <div className="stack wide">
        {pool.description && <div className="quiet">{pool.name === "default" ? localized(pool.description) : pool.description}</div>}
        <div className="row wrap small">
          {Object.entries(pool.products).map(([product, count]) => <Tag key={product}>{count} × {product}</Tag>)}
          {pool.vendors.map((vendor) => <Tag key={vendor}>{vendor}</Tag>)}
          {pool.simulated && <Tag>{t("pools.simulated")}</Tag>}
          {Object.entries(pool.labels).map(([key, value]) => <Tag key={key} variant="outlined">{key}={value}</Tag>)}
        </div>
        {lines.map(({ label, used, total, say }) => (
          <div key={label}>
            <div className="row spread small"><span className="quiet">{label}</span><span className="num">{say(used)} / {say(total)}</span></div>
            <Meter total={total} parts={[{ label, value: used }]} label={`${label} ${say(used)} / ${say(total)}`} />
          </div>
        ))}
        <div className="row spread small">
          <span className="num">{t("pools.nodesReady", { ready: pool.nodes_ready, nodes: pool.nodes })}</span>
          <span className="num">{t("pools.servicesCount", { services: pool.services })}</span>
          <Link className="num" to={`/platform/pools/${pool.name}?tab=waiting`}>{t("pools.waitingCount", { waiting: pool.waiting })}</Link>
        </div>
      </div>
    </Panel>
  );
}

/** What a pool is for; with the reason where it takes nothing new now. */
export function PurposeTag({ pool }: { pool: Pool }) {
  const { t } = useTranslation();
  return <Tag color={pool.closed ? "orange" : undefined} title={localized(pool.closed) || undefined}>{t(`pools.purposes.${pool.purpose}`)}</Tag>;
}
