import { BarChartOutlined, DownloadOutlined } from "@ant-design/icons";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Button, Segmented, Tabs, Tag } from "antd";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { UsageRow } from "../../api/schema";
import { DataTable } from "../../parts/DataTable";
import { Empty, PageSkeleton, ProblemView } from "../../parts/Feedback";
import { formatCount, formatMs, formatPercent } from "../../parts/format";
import { LazyChart } from "../../parts/LazyChart";
import { Facts, Head, Panel } from "../../parts/Page";
import { useTab, useUrlMany } from "../../parts/url";
import { keyQuery, keysQuery } from "../../queries/keys";
import { useProject } from "../../queries/project";
import { useMay } from "../../queries/session";
import { useSince } from "../../queries/since";
import { UsageRequests, useRequestFilters } from "./UsageRequests";

const GROUPS = ["day", "hour", "service", "key", "project"] as const;
type Group = (typeof GROUPS)[number];
const SPANS = { "24h": 1, "7d": 7, "30d": 30 } as const;
type Span = keyof typeof SPANS;

/** Requests and tokens, grouped; the table can be taken along as CSV. */
export function Usage() {
  const { t } = useTranslation();
  const [url, setUrl] = useUrlMany();
  const [groupText, spanText, key] = [url.get("group") ?? "day", url.get("span") ?? "7d", url.get("key") ?? ""];
  const [project] = useProject();
  const group: Group = GROUPS.find((item) => item === groupText) ?? "day";
  const span: Span = spanText in SPANS ? (spanText as Span) : "7d";
  const since = useSince(SPANS[span]);
  const query = { group_by: [group], since, project, ...(key ? { api_key_id: key } : {}) };
  const [tab, setTab] = useTab("summary");
  const usage = useQuery({ queryKey: ["usage", query], placeholderData: keepPreviousData, refetchInterval: 30_000, queryFn: () => need(api.GET("/api/v1/usage/summary", { params: { query } })) });
  const filters = useRequestFilters();
  const exported = { since, project, api_key_id: key, ...(tab === "requests" ? filters : {}) };
  const csv = `/api/v1/usage.csv?${new URLSearchParams(Object.entries(exported).filter((pair): pair is [string, string] => Boolean(pair[1]))).toString()}`;
  const choice = (
    <>
      {key && <KeyTag id={key} onClose={() => setUrl({ key: undefined, page: undefined })} />}
      <Segmented value={span} onChange={(value) => setUrl({ span: value === "7d" ? undefined : value, page: undefined })} options={(Object.keys(SPANS) as Span[]).map((value) => ({ value, label: t(`range.${value}`) }))} />
      <Button href={csv} download icon={<DownloadOutlined />}>CSV</Button>
    </>
  );
  if (usage.error && !usage.data) return <div className="page"><ProblemView error={usage.error} retry={() => void usage.refetch()} /></div>;
  if (!usage.data) return <PageSkeleton />;
  const summary = (
    <div className="stack wide">
      <div><Segmented value={group} onChange={(value) => setUrl({ group: value === "day" ? undefined : value, page: undefined })} options={GROUPS.map((value) => ({ value, label: t(`usage.by.${value}`) }))} /></div>
      {usage.data.items.length === 0 ? <section className="panel"><Empty icon={<BarChartOutlined />} title={t("usage.none")} text={t("usage.noneText")} /></section> : <Figures rows={usage.data.items} group={group} />}
    </div>
  );
  return (
    <div className="page">
      <Head title={t("nav.usage")} sub={t("usage.sub")} actions={choice} />
      <Tabs
        activeKey={tab}
        onChange={setTab}
        destroyOnHidden
        items={[
          { key: "summary", label: t("models.tabSummary"), children: summary },
          { key: "requests", label: t("usage.single"), children: <UsageRequests which={{ since, project, api_key_id: key || undefined }} /> },
        ]}
      />
    </div>
  );
}

function KeyTag({ id, onClose }: { id: string; onClose: () => void }) {
  const { t } = useTranslation();
  const { data } = useQuery(keyQuery(id));
  return <Tag closable onClose={onClose} style={{ alignSelf: "center" }}>{t("usage.by.key")}: {data?.name ?? id}</Tag>;
}

function Figures({ rows, group }: { rows: UsageRow[]; group: Group }) {
  const { t } = useTranslation();
  const may = useMay();
  const { data: keys } = useQuery({ ...keysQuery(), enabled: group === "key" && may("key:read") });
  const name = (row: UsageRow) => {
    const value = row.group[group] ?? Object.values(row.group)[0] ?? "";
    return keys?.items.find((key) => key.id === value)?.name ?? value;
  };
  const sum = (read: (row: UsageRow) => number) => rows.reduce((total, row) => total + read(row), 0);
  const requests = sum((row) => row.requests);
  const series = (label: string, read: (row: UsageRow) => number) => ({ name: label, points: rows.map((row) => [name(row), read(row)] as const) });
  return (
    <div className="stack wide">
      <Facts items={[[t("usage.requests"), formatCount(requests)], [t("usage.errors"), formatPercent(requests ? sum((row) => row.errors) / requests : 0, 2)], [t("usage.prompt"), formatCount(sum((row) => row.prompt_tokens))], [t("usage.completion"), formatCount(sum((row) => row.completion_tokens))]]} />
      <div className="grid2">
        <Panel title={t("usage.chartRequests")}><LazyChart kind="bar" label={t("usage.chartRequests")} format={formatCount} empty={t("usage.none")} series={[series(t("usage.requests"), (row) => row.requests)]} /></Panel>
        <Panel title={t("usage.chartTokens")}><LazyChart kind="bar" label={t("usage.chartTokens")} format={formatCount} empty={t("usage.none")} series={[series(t("usage.prompt"), (row) => row.prompt_tokens), series(t("usage.completion"), (row) => row.completion_tokens)]} /></Panel>
      </div>
      <DataTable<UsageRow>
        name="usage"
        listing={{ data: { items: rows, total: rows.length }, isPending: false, error: null, refetch: () => undefined }}
        rowKey={(row) => JSON.stringify(row.group)}
        text={name}
        columns={[
          { key: "group", title: t(`usage.by.${group}`), sort: name, render: (_, row) => <b className="num">{name(row)}</b> },
          { key: "requests", title: t("usage.requests"), number: true, sort: (row) => row.requests, render: (_, row) => formatCount(row.requests) },
          { key: "errors", title: t("usage.errors"), number: true, sort: (row) => row.errors, render: (_, row) => formatCount(row.errors) },
          { key: "prompt", title: t("usage.prompt"), number: true, sort: (row) => row.prompt_tokens, render: (_, row) => formatCount(row.prompt_tokens) },
          { key: "completion", title: t("usage.completion"), number: true, sort: (row) => row.completion_tokens, render: (_, row) => formatCount(row.completion_tokens) },
          { key: "p50", title: t("usage.ttft50"), number: true, sort: (row) => row.ttft_ms_p50 ?? 0, render: (_, row) => formatMs(row.ttft_ms_p50) },
          { key: "p99", title: t("usage.ttft99"), number: true, sort: (row) => row.ttft_ms_p99 ?? 0, render: (_, row) => formatMs(row.ttft_ms_p99) },
        ]}
        empty={{ icon: <BarChartOutlined />, title: t("usage.none"), text: t("usage.noneText") }}
      />
    </div>
  );
}
