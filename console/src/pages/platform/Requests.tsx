import { FileSearchOutlined } from "@ant-design/icons";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Button, Input, InputNumber } from "antd";
import { useTranslation } from "react-i18next";
import type { LoggedRequest, Outcome } from "../../api/schema";
import { DataTable } from "../../parts/DataTable";
import { formatCount, formatMoney, formatMs } from "../../parts/format";
import { Head } from "../../parts/Page";
import { SearchSelect } from "../../parts/SearchSelect";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { TimeRange } from "../../parts/TimeRange";
import { useUrl, useUrlMany } from "../../parts/url";
import { keyChoices } from "../../queries/keys";
import { useDebounced } from "../../queries/plan";
import { useCurrency } from "../../queries/prices";
import { useProject } from "../../queries/project";
import { requestsQuery, type RequestsWanted } from "../../queries/requests";
import { serviceChoices } from "../../queries/services";
import { useMay } from "../../queries/session";
import { RequestDrawer } from "./RequestDrawer";

const OUTCOMES: Outcome[] = ["ok", "rejected", "canceled", "engine_error", "unavailable", "interrupted"];
const KEYS = ["id", "service", "key", "status", "since", "until"];

/** Every request of the chosen project, found by what is known of it; beside the list what became of one. */
export function Requests() {
  const { t } = useTranslation();
  const [opened, setOpened] = useUrl("request");
  const currency = useCurrency();
  const { data, error, isPending, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery(requestsQuery(useWanted()));
  const items = data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <div className="page">
      <Head title={t("nav.requests")} sub={t("requests.sub")} />
      <DataTable<LoggedRequest>
        name="request-log"
        listing={{ data: data && { items, total: items.length }, isPending, error, refetch }}
        searchable={false}
        rowKey={(request) => request.request_id}
        onOpen={(request) => setOpened(request.request_id)}
        filters={[
          { key: "outcome", label: t("services.outcome"), options: OUTCOMES.map((value) => ({ value, label: t(`state.${value}`) })) },
          { key: "body", label: t("requests.body"), options: [{ value: "kept", label: t("requests.kept") }] },
        ]}
        narrow={{ controls: <Narrow />, keys: KEYS }}
        columns={[
          { key: "at", title: t("audit.at"), render: (_, request) => <Time at={request.started_at} /> },
          { key: "model", title: t("requests.model"), render: (_, request) => request.service || "–" },
          { key: "outcome", title: t("services.outcome"), render: (_, request) => <State state={request.outcome} /> },
          { key: "status", title: t("requests.status"), number: true, render: (_, request) => request.status ?? "–" },
          { key: "prompt", title: t("usage.prompt"), number: true, render: (_, request) => formatCount(request.prompt_tokens) },
          { key: "completion", title: t("usage.completion"), number: true, render: (_, request) => formatCount(request.completion_tokens) },
          { key: "cost", title: t("usage.cost"), number: true, optional: true, render: (_, request) => (request.cost_micros == null ? "–" : formatMoney(request.cost_micros, currency)) },
          { key: "ttft", title: t("usage.ttft"), number: true, render: (_, request) => formatMs(request.ttft_ms) },
          { key: "duration", title: t("usage.duration"), number: true, render: (_, request) => formatMs(request.duration_ms) },
          { key: "key", title: t("usage.by.key"), optional: true, render: (_, request) => <span className="mono small">{request.api_key_id}</span> },
          { key: "project", title: t("keys.project"), optional: true, render: (_, request) => request.project },
          { key: "body", title: t("requests.body"), render: (_, request) => (request.has_body ? t("requests.kept") : "–") },
          { key: "id", title: t("audit.request"), render: (_, request) => <Button type="link" size="small" className="mono small" style={{ padding: 0 }} onClick={() => setOpened(request.request_id)}>{request.request_id}</Button> },
        ]}
        empty={{ icon: <FileSearchOutlined />, title: t("requests.none"), text: t("requests.noneText") }}
      />
      {hasNextPage && <div style={{ padding: 12, textAlign: "center" }}><Button loading={isFetchingNextPage} onClick={() => void fetchNextPage()}>{t("events.more")}</Button></div>}
      <RequestDrawer id={opened} onClose={() => setOpened("")} />
    </div>
  );
}

/** The filters in the address, as the platform takes them. */
function useWanted(): RequestsWanted {
  const [url] = useUrlMany();
  const [project] = useProject();
  const id = useDebounced(url.get("id") ?? "", 250).trim();
  const status = Number(url.get("status") ?? Number.NaN);
  const time = (key: string) => (Number.isNaN(Date.parse(url.get(key) ?? "")) ? undefined : (url.get(key) ?? undefined));
  return {
    request_id: id || undefined,
    project,
    api_key_id: url.get("key") ?? undefined,
    service: url.get("service") ?? undefined,
    outcome: OUTCOMES.find((value) => value === url.get("outcome")),
    status: status >= 100 && status <= 599 ? status : undefined,
    with_body: url.get("body") === "kept" || undefined,
    since: time("since"),
    until: time("until"),
  };
}

function Narrow() {
  const { t } = useTranslation();
  const may = useMay();
  const [url, setUrl] = useUrlMany();
  return (
    <>
      <Input allowClear style={{ width: 200 }} placeholder={t("requests.idBegins")} aria-label={t("requests.idBegins")} value={url.get("id") ?? ""} onChange={(event) => setUrl({ id: event.target.value, page: undefined })} />
      <SearchSelect kind="service" label={t("requests.model")} free allowClear style={{ minWidth: 150 }} load={serviceChoices} value={url.get("service") ?? undefined} onChange={(service) => setUrl({ service, page: undefined })} />
      {may("key:read") && <SearchSelect kind="key" label={t("usage.by.key")} free allowClear style={{ minWidth: 140 }} load={keyChoices} value={url.get("key") ?? undefined} onChange={(key) => setUrl({ key, page: undefined })} />}
      <InputNumber min={100} max={599} style={{ width: 110 }} placeholder={t("requests.status")} aria-label={t("requests.status")} value={Number(url.get("status")) || null} onChange={(status) => setUrl({ status: status ? String(status) : undefined, page: undefined })} />
      <TimeRange />
    </>
  );
}
