import { HistoryOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Skeleton } from "antd";
import { useTranslation } from "react-i18next";
import { api, need } from "../api/client";
import type { Event } from "../api/schema";
import { localized } from "../app/sentences";
import { Empty, ProblemView } from "./Feedback";
import { Time } from "./Time";

const TONES: Record<string, string> = { error: "bad", warning: "warn", info: "idle" };

/** What happened to one object, newest first. */
export function Events({ kind, name, limit = 100 }: { kind?: string; name?: string; limit?: number }) {
  const { t } = useTranslation();
  const { data, error, isPending, refetch } = useQuery({
    queryKey: ["event", kind, name, limit],
    queryFn: () => need(api.GET("/api/v1/events", { params: { query: { kind, name, limit } } })),
  });
  if (error) return <ProblemView error={error} retry={() => void refetch()} />;
  if (isPending) return <Skeleton active paragraph={{ rows: 4 }} title={false} />;
  if (data.items.length === 0) return <section className="panel"><Empty icon={<HistoryOutlined />} title={t("events.none")} text={t("events.noneText")} /></section>;
  return (
    <section className="panel">
      {data.items.map((event) => <EventLine key={event.id} event={event} />)}
    </section>
  );
}

export function EventLine({ event }: { event: Event }) {
  return (
    <div className="row top" style={{ padding: "9px 16px", borderBottom: "1px solid var(--ant-color-border-secondary)" }}>
      <span className={`pill ${TONES[event.severity] ?? "idle"}`} style={{ background: "none", padding: 0 }}><i aria-hidden style={{ marginTop: 0 }} /></span>
      <div className="grow">
        <span className="strong">{event.object_name}</span> <span className="quiet">{event.action}</span>
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
