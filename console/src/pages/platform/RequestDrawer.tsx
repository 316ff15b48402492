import { useQuery } from "@tanstack/react-query";
import { Button, Drawer, Skeleton, Tabs } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { LoggedRequest } from "../../api/schema";
import { ProblemView } from "../../parts/Feedback";
import { formatCount, formatMoney, formatMs } from "../../parts/format";
import { Facts } from "../../parts/Page";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { useCurrency } from "../../queries/prices";
import { requestBodyQuery, requestQuery } from "../../queries/requests";
import { useMay } from "../../queries/session";
import { BodyText } from "./BodyText";

/** One request beside the list: its facts, where its time went, and what it said. */
export function RequestDrawer({ id, onClose }: { id: string; onClose: () => void }) {
  const { t } = useTranslation();
  const request = useQuery({ ...requestQuery(id), enabled: id !== "" });
  return (
    <Drawer open={id !== ""} onClose={onClose} size={720} destroyOnHidden title={t("requests.request")} styles={{ body: { padding: 20, background: "var(--ant-color-bg-container)" } }}>
      {request.error ? <ProblemView error={request.error} retry={() => void request.refetch()} /> : request.data ? <Detail key={id} request={request.data} /> : <Skeleton active />}
    </Drawer>
  );
}

function Detail({ request }: { request: LoggedRequest }) {
  const { t } = useTranslation();
  return (
    <>
      <div className="row wrap" style={{ marginBottom: 12 }}><State state={request.outcome} /><span className="mono small quiet">{request.request_id}</span></div>
      <Tabs
        items={[
          { key: "facts", label: t("models.tabSummary"), children: <RequestFacts request={request} /> },
          { key: "body", label: t("requests.body"), children: <Bodies request={request} /> },
        ]}
      />
    </>
  );
}

function RequestFacts({ request }: { request: LoggedRequest }) {
  const { t } = useTranslation();
  const currency = useCurrency();
  return (
    <>
      <Timeline request={request} />
      <Facts
        items={[
          [t("requests.status"), request.status ?? "–"],
          [t("requests.model"), request.service || "–"],
          [t("requests.replica"), <span key="replica" className="mono">{request.replica_id ?? "–"}</span>],
          [t("usage.endpoint"), <span key="endpoint" className="mono">{request.endpoint}</span>],
          [t("usage.prompt"), formatCount(request.prompt_tokens)],
          [t("requests.cached"), formatCount(request.cached_tokens)],
          [t("usage.completion"), formatCount(request.completion_tokens)],
          [t("usage.cost"), request.cost_micros == null ? t("usage.noPrice") : formatMoney(request.cost_micros, currency)],
          [t("usage.by.key"), <Link key="key" className="mono" to={`/platform/keys?search=${encodeURIComponent(request.api_key_id)}`}>{request.api_key_id}</Link>],
          [t("keys.project"), request.project],
          [t("audit.at"), <Time key="at" at={request.started_at} />],
        ]}
      />
    </>
  );
}

/** From its arrival over the queue and the first token to the end, to scale. */
function Timeline({ request }: { request: LoggedRequest }) {
  const { t } = useTranslation();
  const whole = request.duration_ms ?? 0;
  const waited = Math.min(request.queue_ms ?? 0, whole);
  const first = Math.max(Math.min(request.ttft_ms ?? whole, whole), waited);
  const parts = [
    { label: t("requests.queued"), ms: waited, color: "var(--ant-color-warning)" },
    { label: request.ttft_ms == null ? t("requests.answering") : t("requests.toFirst"), ms: first - waited, color: "var(--ant-color-info)" },
    { label: t("requests.streaming"), ms: whole - first, color: "var(--ant-color-success)" },
  ].filter((part) => part.ms > 0);
  if (whole <= 0) return null;
  return (
    <div style={{ marginBottom: 16 }}>
      <div aria-hidden style={{ display: "flex", height: 10, borderRadius: 5, overflow: "hidden", background: "var(--ant-color-fill-secondary)" }}>
        {parts.map((part) => <div key={part.label} style={{ width: `${(part.ms / whole) * 100}%`, minWidth: 2, background: part.color }} />)}
      </div>
      <div className="row wrap small" style={{ marginTop: 6, gap: 16 }}>
        {parts.map((part) => (
          <span key={part.label} className="row" style={{ gap: 6 }}>
            <i aria-hidden style={{ width: 8, height: 8, borderRadius: 4, background: part.color }} />
            {part.label} <b className="num">{formatMs(part.ms)}</b>
          </span>
        ))}
        <span className="quiet">{t("usage.duration")} <b className="num">{formatMs(whole)}</b></span>
      </div>
    </div>
  );
}

/** Read only when asked for: who reads is in the audit log. */
function Bodies({ request }: { request: LoggedRequest }) {
  const { t } = useTranslation();
  const may = useMay();
  const [wanted, setWanted] = useState(false);
  const bodies = useQuery({ ...requestBodyQuery(request.request_id), enabled: wanted });
  if (!request.has_body) return <p className="quiet">{t("requests.notKept")}</p>;
  if (!may("body:read", request.project)) return <p className="quiet">{t("requests.mayNot")}</p>;
  if (!wanted) {
    return (
      <div className="stack">
        <p className="quiet">{t("requests.audited")}</p>
        <div><Button type="primary" onClick={() => setWanted(true)}>{t("requests.read")}</Button></div>
      </div>
    );
  }
  if (bodies.error) return <ProblemView error={bodies.error} retry={() => void bodies.refetch()} />;
  if (!bodies.data) return <Skeleton active />;
  return (
    <div className="stack">
      <BodyText title={t("requests.asked")} body={bodies.data.request} />
      <BodyText title={t("requests.answered")} body={bodies.data.answer} />
      <span className="small quiet">{t("requests.until")} <Time at={bodies.data.kept_until} /></span>
    </div>
  );
}
