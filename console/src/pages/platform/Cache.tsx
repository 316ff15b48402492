import { PlusOutlined, RetweetOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Dropdown, Tooltip } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { CacheRule, CacheStats } from "../../api/schema";
import { ConfirmName } from "../../parts/ConfirmName";
import { DataTable } from "../../parts/DataTable";
import { formatNumber } from "../../parts/format";
import { Head } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { useUrl } from "../../parts/url";
import { useAction } from "../../queries/action";
import { cacheRulePageQuery, cacheStatsQuery } from "../../queries/cacheRules";
import { usePaging } from "../../queries/list";
import { useProject } from "../../queries/project";
import { useMay } from "../../queries/session";
import { useSince } from "../../queries/since";
import { CacheDrawer } from "./CacheDrawer";
import { hitsOf, measuredOf, share } from "./cacheValues";

const DAYS = 7;
const idOf = (one: { project: string; model: string }) => `${one.project}/${one.model}`;
const pathOf = (rule: CacheRule | null) => ({ params: { path: { project: rule?.project ?? "", model: rule?.model ?? "" } } });

/** Which answers are kept and given again, and what came of it. */
export function Cache() {
  const { t } = useTranslation();
  const may = useMay();
  const [project] = useProject();
  const [creating, setCreating] = useUrl("create");
  const [editing, setEditing] = useState<CacheRule | null>(null);
  const [clearing, setClearing] = useState<CacheRule | null>(null);
  const [removing, setRemoving] = useState<CacheRule | null>(null);
  const { search, offset, limit } = usePaging();
  const listing = useQuery(cacheRulePageQuery({ project, search, offset, limit }));
  const since = useSince(DAYS);
  const { data } = useQuery({ ...cacheStatsQuery(since, project), enabled: may("usage:read") });
  const stats = new Map((data?.items ?? []).map((one) => [idOf(one), one]));
  const clear = useAction(() => need(api.POST("/api/v1/cache-rules/{project}/{model}/invalidate", pathOf(clearing))), ["cache_rule"], { silent: true });
  const remove = useAction(() => need(api.DELETE("/api/v1/cache-rules/{project}/{model}", pathOf(removing))), ["cache_rule"], { silent: true });
  const create = may("service:write") && <Button type="primary" icon={<PlusOutlined />} onClick={() => setCreating("1")}>{t("cache.create")}</Button>;
  return (
    <div className="page">
      <Head title={t("nav.cache")} sub={t("cache.sub")} actions={create} />
      <DataTable<CacheRule>
        name="cache"
        listing={listing}
        rowKey={idOf}
        columns={[
          { key: "model", title: t("cache.model"), render: (_, rule) => <span className="strong">{rule.model}</span> },
          { key: "project", title: t("keys.project"), render: (_, rule) => rule.project },
          { key: "mode", title: t("cache.mode"), render: (_, rule) => <span className={`pill ${rule.mode === "on" ? "good" : rule.mode === "measure" ? "warn" : ""}`}><i aria-hidden />{t(`cache.modes.${rule.mode}`)}</span> },
          { key: "embedding", title: t("cache.embedding"), render: (_, rule) => (rule.embedding_model ? `${rule.embedding_model} ≥ ${rule.threshold}` : <span className="quiet">{t("cache.exactOnly")}</span>) },
          { key: "rate", title: t("cache.rate"), number: true, render: (_, rule) => <Rate stats={stats.get(idOf(rule))} /> },
          { key: "saved", title: t("cache.saved"), number: true, render: (_, rule) => formatNumber(stats.get(idOf(rule))?.saved_tokens ?? 0) },
          { key: "false", title: t("cache.false"), number: true, render: (_, rule) => <FalseHits stats={stats.get(idOf(rule))} /> },
          { key: "ttl", title: t("cache.ttl"), number: true, optional: true, render: (_, rule) => `${rule.ttl_seconds} ${t("cache.seconds")}` },
          { key: "set", title: t("prices.since"), optional: true, render: (_, rule) => <Time at={rule.set_at} /> },
          {
            key: "actions",
            title: "",
            render: (_, rule) =>
              may("service:write", rule.project) && (
                <Dropdown trigger={["click"]} menu={{ items: [{ key: "edit", label: t("action.edit"), onClick: () => setEditing(rule) }, { key: "clear", label: t("cache.clear"), onClick: () => setClearing(rule) }, { key: "delete", danger: true, label: t("action.delete"), onClick: () => setRemoving(rule) }] }}>
                  <Button size="small" type="text" aria-label={`${t("action.more")} ${rule.model}`}>⋯</Button>
                </Dropdown>
              ),
          },
        ]}
        empty={{ icon: <RetweetOutlined />, title: t("cache.none"), text: t("cache.noneText"), action: create }}
      />
      <CacheDrawer key={editing ? idOf(editing) : "new"} open={creating !== "" || editing !== null} editing={editing} onClose={() => { setCreating(""); setEditing(null); }} />
      <ConfirmName open={clearing !== null} onClose={() => setClearing(null)} name={clearing?.model ?? ""} title={t("cache.clearTitle", { name: clearing?.model })} consequence={t("cache.clearText")} action={t("cache.clear")} onConfirm={() => clear.mutateAsync(undefined)} />
      <ConfirmName open={removing !== null} onClose={() => setRemoving(null)} name={removing?.model ?? ""} title={t("cache.removeTitle", { name: removing?.model })} consequence={t("cache.removeText")} action={t("action.delete")} onConfirm={() => remove.mutateAsync(undefined)} />
    </div>
  );
}

/** How many of the lookups were answered from the cache. */
function Rate({ stats }: { stats: CacheStats | undefined }) {
  const { t } = useTranslation();
  const rate = share(hitsOf(stats), stats?.lookups ?? 0);
  if (!stats || rate === undefined) return <span className="quiet">–</span>;
  return <Tooltip title={`${t("cache.hits")}: ${stats.exact_hits} + ${stats.semantic_hits} / ${stats.lookups}, ${t("cache.days")}`}><span>{rate}</span></Tooltip>;
}

/** How many of the answers that likeness would have given were wrong, as far as that was measured. */
function FalseHits({ stats }: { stats: CacheStats | undefined }) {
  const { t } = useTranslation();
  const rate = share(stats?.disagreed ?? 0, measuredOf(stats));
  if (rate === undefined) return <span className="quiet">–</span>;
  return <Tooltip title={t("cache.falseHint", { disagreed: stats?.disagreed, all: measuredOf(stats), gated: stats?.gated })}><span>{rate}</span></Tooltip>;
}
