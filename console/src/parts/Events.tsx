import { HistoryOutlined } from "@ant-design/icons";
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { Button, Select, Skeleton } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { api, need } from "../api/client";
import type { Event } from "../api/schema";
import { localized } from "../app/sentences";
import { Empty, ProblemView } from "./Feedback";
import { objectPath } from "./links";
import { Time } from "./Time";
import { useUrl } from "./url";

const TONES: Record<string, string> = { error: "bad", warning: "warn", info: "idle" };
const SEVERITIES = ["info", "warning", "error"] as const;

interface Props {
  kind?: string;
  name?: string;
  project?: string;
  actor?: string;
  /** Changes that people made, instead of what the platform saw. */
  audit?: boolean;
  limit?: number;
  /** Only the newest, without a way on: for a page that is about something else. */
  brief?: boolean;
}

/** What happened, newest first, as far back as one wants to read. */
export function Events({ kind, name, project, actor, audit, limit = 25, brief }: Props) {
  const { t } = useTranslation();
  const [chosen, setChosen] = useUrl("severity");
  const severity = brief ? undefined : SEVERITIES.find((value) => value === chosen);
  const query = { kind, name, project, actor, severity, limit };
  const { data, error, isPending, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: ["event", audit ? "audit" : "seen", query],
    placeholderData: keepPreviousData,
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam: before }) => need(audit ? api.GET("/api/v1/audit", { params: { query: { ...query, before } } }) : api.GET("/api/v1/events", { params: { query: { ...query, before } } })),
    getNextPageParam: (last) => last.next ?? undefined,
    // Not everything that happens rings the bell. Whoever reads further back is left in peace.
    refetchInterval: (query) => ((query.state.data?.pages.length ?? 0) > 1 ? false : 10_000),
  });
  if (error && !data) return <ProblemView error={error} retry={() => void refetch()} />;
  if (isPending) return <Skeleton active paragraph={{ rows: 4 }} title={false} />;
  const events = data.pages.flatMap((page) => page.items);
  const total = data.pages[0]?.total ?? 0;
  if (events.length === 0 && !severity) return <section className="panel"><Empty icon={<HistoryOutlined />} title={t("events.none")} text={t("events.noneText")} /></section>;
  return (
    <section className="panel">
      {!brief && (
        <div className="toolbar">
          <Select allowClear style={{ minWidth: 140 }} placeholder={t("events.severity")} aria-label={t("events.severity")} value={severity} onChange={(value?: string) => setChosen(value ?? "")} options={SEVERITIES.map((value) => ({ value, label: t(`severity.${value}`) }))} />
          <span className="count num" aria-live="polite">{t("events.shown", { shown: events.length, count: total })}</span>
        </div>
      )}
      {events.length === 0 && <div className="quiet" style={{ padding: 16 }}>{t("list.nothing")}</div>}
      {events.map((event) => <EventLine key={event.id} event={event} />)}
      {!brief && hasNextPage && <div style={{ padding: 12, textAlign: "center" }}><Button loading={isFetchingNextPage} onClick={() => void fetchNextPage()}>{t("events.more")}</Button></div>}
    </section>
  );
}

export function EventLine({ event }: { event: Event }) {
  const path = objectPath(event.object_kind, event.object_name);
  return (
    <div className="row top" style={{ padding: "9px 16px", borderBottom: "1px solid var(--ant-color-border-secondary)" }}>
      <span className={`pill ${TONES[event.severity] ?? "idle"}`} style={{ background: "none", padding: 0 }}><i aria-hidden style={{ marginTop: 0 }} /></span>
      <div className="grow" style={{ overflowWrap: "anywhere" }}>
        {path ? <Link to={path} className="strong" style={{ color: "inherit" }}>{event.object_name}</Link> : <span className="strong">{event.object_name}</span>} <span className="quiet">{event.action}</span>
        {event.message && <div className="pre">{localized(event.message)}</div>}
      </div>
      <span className="small quiet nowrap right">
        {event.actor}
        <br />
        <Time at={event.at} />
      </span>
    </div>
  );
}
