import { BarChartOutlined } from "@ant-design/icons";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { api, need } from "../../api/client";
import type { Outcome, UsageRecord } from "../../api/schema";
import { DataTable } from "../../parts/DataTable";
import { formatCount, formatMoney, formatMs } from "../../parts/format";
import { SearchSelect } from "../../parts/SearchSelect";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { useUrlMany } from "../../parts/url";
import { usePaging } from "../../queries/list";
import { useCurrency } from "../../queries/prices";
import { serviceChoices } from "../../queries/services";

const OUTCOMES: Outcome[] = ["ok", "rejected", "canceled", "engine_error", "unavailable", "interrupted"];

/** The filters of single requests in the address, as the platform takes them. */
export function useRequestFilters(): { service?: string; outcome?: Outcome } {
  const [url] = useUrlMany();
  return { service: url.get("service") ?? undefined, outcome: OUTCOMES.find((value) => value === url.get("outcome")) };
}

/** Single requests, newest first. */
export function UsageRequests({ which }: { which: { since: string; project?: string; api_key_id?: string } }) {
  const { t } = useTranslation();
  const [url, setUrl] = useUrlMany();
  const { offset, limit } = usePaging();
  const currency = useCurrency();
  const query = { ...which, offset, limit, ...useRequestFilters() };
  const listing = useQuery({ queryKey: ["usage", "requests", query], placeholderData: keepPreviousData, refetchInterval: 30_000, queryFn: () => need(api.GET("/api/v1/usage", { params: { query } })) });
  return (
    <DataTable<UsageRecord>
      name="requests"
      listing={listing}
      searchable={false}
      rowKey={(record) => record.request_id}
      filters={[{ key: "outcome", label: t("services.outcome"), options: OUTCOMES.map((value) => ({ value, label: t(`state.${value}`) })) }]}
      narrow={{ keys: ["service"], controls: <SearchSelect kind="service" label={t("usage.by.service")} free allowClear style={{ minWidth: 160 }} load={serviceChoices} value={url.get("service") ?? undefined} onChange={(service) => setUrl({ service, page: undefined })} /> }}
      columns={[
        { key: "at", title: t("audit.at"), render: (_, record) => <Time at={record.started_at} /> },
        { key: "service", title: t("usage.by.service"), render: (_, record) => <Served by={record.service} /> },
        { key: "outcome", title: t("services.outcome"), render: (_, record) => <State state={record.outcome} /> },
        { key: "prompt", title: t("usage.prompt"), number: true, render: (_, record) => formatCount(record.prompt_tokens) },
        { key: "completion", title: t("usage.completion"), number: true, render: (_, record) => formatCount(record.completion_tokens) },
        { key: "cost", title: t("usage.cost"), number: true, render: (_, record) => (record.cost_micros == null ? <span className="quiet">{t("usage.noPrice")}</span> : formatMoney(record.cost_micros, currency)) },
        { key: "cache", title: t("cache.given"), optional: true, render: (_, record) => <FromCache result={record.cache} /> },
        { key: "queue", title: t("usage.queue"), number: true, optional: true, render: (_, record) => formatMs(record.queue_ms) },
        { key: "ttft", title: t("usage.ttft"), number: true, render: (_, record) => formatMs(record.ttft_ms) },
        { key: "duration", title: t("usage.duration"), number: true, render: (_, record) => formatMs(record.duration_ms) },
        { key: "key", title: t("usage.by.key"), optional: true, render: (_, record) => <span className="mono">{record.api_key_id}</span> },
        { key: "project", title: t("keys.project"), optional: true, render: (_, record) => record.project },
        { key: "endpoint", title: t("usage.endpoint"), optional: true, render: (_, record) => <span className="mono">{record.endpoint}</span> },
        { key: "request", title: t("audit.request"), render: (_, record) => <Link to={`/platform/requests?request=${encodeURIComponent(record.request_id)}`} className="mono small">{record.request_id}</Link> },
      ]}
      empty={{ icon: <BarChartOutlined />, title: t("usage.none"), text: t("usage.noneText") }}
    />
  );
}

/** Whether its answer was kept from an earlier request; a model without a cache says nothing. */
function FromCache({ result }: { result: string | null }) {
  const { t } = useTranslation();
  if (result === "exact" || result === "semantic") return <span className="pill good"><i aria-hidden />{t(`cache.results.${result}`)}</span>;
  return <span className="quiet">{result === "miss" ? t("cache.results.miss") : "–"}</span>;
}

/** A request that was refused before its model was known has no service; one that an outside provider served has no page. */
function Served({ by }: { by: string }) {
  if (by === "") return "–";
  return by.includes(":") ? by : <Link to={`/services/${by}`}>{by}</Link>;
}
