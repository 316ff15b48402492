import { BarChartOutlined } from "@ant-design/icons";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Segmented, Skeleton } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { UsageGroup, UsageRow } from "../../api/schema";
import { DataTable } from "../../parts/DataTable";
import { Empty, ProblemView } from "../../parts/Feedback";
import { formatCount, formatMoney, formatMs, formatPercent } from "../../parts/format";
import { LazyChart } from "../../parts/LazyChart";
import { Facts, Panel } from "../../parts/Page";
import { SearchSelect } from "../../parts/SearchSelect";
import { useUrlMany } from "../../parts/url";
import { keysQuery } from "../../queries/keys";
import { useCurrency } from "../../queries/prices";
import { serviceChoices } from "../../queries/services";
import { useMay } from "../../queries/session";
import { leadersOf, seriesOf, timeLabel, timesBetween, type Split, type Step } from "./usageSeries";

const GROUPS = ["service", "key", "tag", "project"] as const;
type Group = (typeof GROUPS)[number];
const ALL = "all";

export interface Which {
  since: string;
  project?: string;
  api_key_id?: string;
  service?: string;
}

const summaryQuery = (which: Which, groups: UsageGroup[]) => {
  const query = { ...which, group_by: groups };
  return { queryKey: ["usage", query], placeholderData: keepPreviousData, refetchInterval: 30_000, queryFn: () => need(api.GET("/api/v1/usage/summary", { params: { query } })) };
};

/** Requests, tokens and cost over time, together or by service, key, tag or project, and the sums below. */
export function UsageSummary({ which, step }: { which: Which; step: Step }) {
  const { t } = useTranslation();
  const [url, setUrl] = useUrlMany();
  const group = GROUPS.find((item) => item === url.get("group"));
  const lines = useQuery(summaryQuery(which, group ? [step, group] : [step]));
  const sums = useQuery(summaryQuery(which, [group ?? step]));
  // what has several tags is in several rows: only rows by time add up
  const totals = useQuery(summaryQuery(which, [step]));
  const name = useNames(group);
  const error = lines.error ?? sums.error ?? totals.error;
  if (error && !(lines.data && sums.data && totals.data)) return <ProblemView error={error} retry={() => { void lines.refetch(); void sums.refetch(); void totals.refetch(); }} />;
  return (
    <div className="stack wide">
      <div className="row wrap">
        <Segmented value={group ?? ALL} onChange={(value) => setUrl({ group: value === ALL ? undefined : value, page: undefined, sort: undefined })} options={[ALL, ...GROUPS].map((value) => ({ value, label: t(`usage.by.${value as Group | typeof ALL}`) }))} />
        <SearchSelect kind="service" label={t("usage.by.service")} free allowClear style={{ minWidth: 180 }} load={serviceChoices} value={which.service} onChange={(service) => setUrl({ service, page: undefined })} />
      </div>
      {group === "tag" && <span className="small quiet">{t("usage.tagHint")}</span>}
      {!lines.data || !sums.data || !totals.data ? <Skeleton active /> : sums.data.items.length === 0 ? <section className="panel"><Empty icon={<BarChartOutlined />} title={t("usage.none")} text={t("usage.noneText")} /></section> : (
        <>
          <Charts rows={lines.data.items} since={which.since} step={step} split={group && { group, leaders: leadersOf(lines.data.items, group), name, others: t("usage.others") }} />
          <Sums rows={sums.data.items} totals={totals.data.items} by={group ?? step} name={(row) => (group ? name(row.group[group] ?? "") : timeLabel(row.group[step] ?? "", step))} />
        </>
      )}
    </div>
  );
}

/** Words for a group: keys are called by their name where the user may see it. */
function useNames(group: Group | undefined): (value: string) => string {
  const { t } = useTranslation();
  const may = useMay();
  const { data: keys } = useQuery({ ...keysQuery(), enabled: group === "key" && may("key:read") });
  return (value) => (group === "tag" && value === "" ? t("usage.noTag") : (group === "key" && keys?.items.find((key) => key.id === value)?.name) || value);
}

function Charts({ rows, since, step, split }: { rows: UsageRow[]; since: string; step: Step; split?: Split }) {
  const { t } = useTranslation();
  const currency = useCurrency();
  const [opened] = useState(() => Date.now());
  const times = timesBetween(since, opened, step);
  const series = (label: string, read: (row: UsageRow) => number) => seriesOf(rows, times, step, label, read, split);
  const tokens = split
    ? series("", (row) => row.prompt_tokens + row.completion_tokens)
    : [...series(t("usage.prompt"), (row) => row.prompt_tokens), ...series(t("usage.completion"), (row) => row.completion_tokens)];
  const charts = [
    { title: t("usage.chartRequests"), series: series(t("usage.requests"), (row) => row.requests), format: formatCount },
    { title: t("usage.chartTokens"), series: tokens, format: formatCount },
    { title: t("usage.chartCost"), series: series(t("usage.cost"), (row) => row.cost_micros ?? 0), format: (value: number) => formatMoney(value, currency) },
  ];
  return (
    <div className="grid3">
      {charts.map((chart) => <Panel key={chart.title} title={chart.title}><LazyChart kind="bar" stacked label={chart.title} format={chart.format} empty={t("usage.none")} series={chart.series} /></Panel>)}
    </div>
  );
}

function Sums({ rows, totals, by, name }: { rows: UsageRow[]; totals: UsageRow[]; by: Group | Step; name: (row: UsageRow) => string }) {
  const { t } = useTranslation();
  const currency = useCurrency();
  const sum = (read: (row: UsageRow) => number) => totals.reduce((total, row) => total + read(row), 0);
  const requests = sum((row) => row.requests);
  return (
    <div className="stack wide">
      <Facts
        items={[
          [t("usage.requests"), formatCount(requests)],
          [t("usage.errors"), formatPercent(requests ? sum((row) => row.errors) / requests : 0, 2)],
          [t("usage.prompt"), formatCount(sum((row) => row.prompt_tokens))],
          [t("usage.completion"), formatCount(sum((row) => row.completion_tokens))],
          [t("usage.cost"), <Cost key="cost" micros={sum((row) => row.cost_micros ?? 0)} unpriced={sum((row) => row.unpriced ?? 0)} currency={currency} />],
        ]}
      />
      <DataTable<UsageRow>
        name="usage"
        listing={{ data: { items: rows, total: rows.length }, isPending: false, error: null, refetch: () => undefined }}
        rowKey={(row) => JSON.stringify(row.group)}
        text={name}
        columns={[
          { key: "group", title: t(`usage.by.${by}`), sort: name, render: (_, row) => <b className="num">{name(row)}</b> },
          { key: "requests", title: t("usage.requests"), number: true, sort: (row) => row.requests, render: (_, row) => formatCount(row.requests) },
          { key: "errors", title: t("usage.errors"), number: true, sort: (row) => row.errors, render: (_, row) => formatCount(row.errors) },
          { key: "prompt", title: t("usage.prompt"), number: true, sort: (row) => row.prompt_tokens, render: (_, row) => formatCount(row.prompt_tokens) },
          { key: "completion", title: t("usage.completion"), number: true, sort: (row) => row.completion_tokens, render: (_, row) => formatCount(row.completion_tokens) },
          { key: "cost", title: t("usage.cost"), number: true, sort: (row) => row.cost_micros ?? 0, render: (_, row) => <Cost micros={row.cost_micros ?? 0} unpriced={row.unpriced ?? 0} currency={currency} /> },
          { key: "p50", title: t("usage.ttft50"), number: true, sort: (row) => row.ttft_ms_p50 ?? 0, render: (_, row) => formatMs(row.ttft_ms_p50) },
          { key: "p99", title: t("usage.ttft99"), number: true, sort: (row) => row.ttft_ms_p99 ?? 0, render: (_, row) => formatMs(row.ttft_ms_p99) },
        ]}
        empty={{ icon: <BarChartOutlined />, title: t("usage.none"), text: t("usage.noneText") }}
      />
    </div>
  );
}

/** A sum of costs, and whether some of its requests had no price. */
function Cost({ micros, unpriced, currency }: { micros: number; unpriced: number; currency: string }) {
  const { t } = useTranslation();
  if (unpriced === 0) return <>{formatMoney(micros, currency)}</>;
  if (micros === 0) return <span className="quiet">{t("usage.noPrice")}</span>;
  return <span>{formatMoney(micros, currency)} <span className="small quiet">{t("usage.unpriced", { count: unpriced })}</span></span>;
}
