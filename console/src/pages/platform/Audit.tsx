import { DownloadOutlined, FileProtectOutlined } from "@ant-design/icons";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Button, Input } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { localized } from "../../app/sentences";
import { api, need } from "../../api/client";
import type { Event } from "../../api/schema";
import { Changes } from "../../parts/Changes";
import { DataTable } from "../../parts/DataTable";
import { objectPath } from "../../parts/links";
import { Head } from "../../parts/Page";
import { SearchSelect } from "../../parts/SearchSelect";
import { State } from "../../parts/State";
import { Time } from "../../parts/Time";
import { TimeRange } from "../../parts/TimeRange";
import { useUrlMany } from "../../parts/url";
import { usePaging } from "../../queries/list";
import { useDebounced } from "../../queries/plan";
import { useProject } from "../../queries/project";
import { useMay } from "../../queries/session";
import { userChoices } from "../../queries/users";

const KINDS = ["service", "model", "upload", "job", "batch", "file", "key", "price", "cache_rule", "user", "project", "node", "engine", "setting", "request", "logged_request"] as const;
const OUTCOMES = { done: "info", refused: "warning" } as const;
const KEYS = ["actor", "object", "since", "until"];

/** Who changed what, from where, and what was refused. */
export function Audit() {
  const { t } = useTranslation();
  const [url] = useUrlMany();
  const paging = usePaging();
  const which = useFilters();
  const query = { ...which, ...paging };
  const listing = useQuery({ queryKey: ["event", "audit", query], placeholderData: keepPreviousData, refetchInterval: 10_000, queryFn: () => need(api.GET("/api/v1/audit", { params: { query } })) });
  const csv = `/api/v1/audit.csv?${new URLSearchParams(Object.entries({ ...which, search: url.get("search") ?? undefined }).filter((pair): pair is [string, string] => Boolean(pair[1]))).toString()}`;
  return (
    <div className="page">
      <Head title={t("nav.audit")} sub={t("audit.sub")} actions={<Button href={csv} download icon={<DownloadOutlined />}>CSV</Button>} />
      <DataTable<Event>
        name="audit"
        listing={listing}
        rowKey={(event) => event.id}
        filters={[
          { key: "kind", label: t("audit.kind"), options: KINDS.map((value) => ({ value, label: t(`objectKind.${value}`) })) },
          { key: "outcome", label: t("audit.outcome"), options: Object.keys(OUTCOMES).map((value) => ({ value, label: t(`state.${value as keyof typeof OUTCOMES}`) })) },
        ]}
        narrow={{ controls: <Narrow />, keys: KEYS }}
        expand={(event) => (Object.keys(event.details).length > 0 ? <Changes details={event.details} /> : null)}
        columns={[
          { key: "at", title: t("audit.at"), render: (_, event) => <Time at={event.at} /> },
          { key: "actor", title: t("audit.actor"), render: (_, event) => <b>{event.actor}</b> },
          { key: "action", title: t("audit.action"), render: (_, event) => <span className="mono">{event.action}</span> },
          { key: "object", title: t("audit.object"), render: (_, event) => <AuditObject event={event} /> },
          { key: "outcome", title: t("audit.outcome"), render: (_, event) => <State state={event.severity === "info" ? "done" : "refused"} /> },
          { key: "message", title: t("audit.message"), render: (_, event) => <div className="pre" style={{ maxWidth: 360 }}>{localized(event.message)}</div> },
          { key: "project", title: t("keys.project"), optional: true, render: (_, event) => event.project ?? "–" },
          { key: "address", title: t("audit.address"), render: (_, event) => <span className="num">{event.address ?? "–"}</span> },
          { key: "request", title: t("audit.request"), optional: true, render: (_, event) => <span className="mono">{event.request_id ?? "–"}</span> },
        ]}
        empty={{ icon: <FileProtectOutlined />, title: t("audit.none"), text: t("audit.sub") }}
      />
    </div>
  );
}

/** The filters in the address, as the platform takes them. */
function useFilters() {
  const [url] = useUrlMany();
  const [project] = useProject();
  const name = useDebounced(url.get("object") ?? "", 250);
  const outcome = url.get("outcome") ?? "";
  const time = (key: string) => (Number.isNaN(Date.parse(url.get(key) ?? "")) ? undefined : (url.get(key) ?? undefined));
  return {
    actor: url.get("actor") ?? undefined,
    kind: url.get("kind") ?? undefined,
    name: name || undefined,
    severity: outcome in OUTCOMES ? OUTCOMES[outcome as keyof typeof OUTCOMES] : undefined,
    since: time("since"),
    until: time("until"),
    project,
  };
}

function Narrow() {
  const { t } = useTranslation();
  const may = useMay();
  const [url, setUrl] = useUrlMany();
  const choices = (search: string | undefined) => (may("user:read") ? userChoices(search) : Promise.resolve([]));
  return (
    <>
      <SearchSelect kind="user" label={t("audit.actor")} free allowClear style={{ minWidth: 150 }} load={choices} value={url.get("actor") ?? undefined} onChange={(actor) => setUrl({ actor, page: undefined })} />
      <Input allowClear style={{ width: 180 }} placeholder={t("audit.objectName")} aria-label={t("audit.objectName")} value={url.get("object") ?? ""} onChange={(event) => setUrl({ object: event.target.value, page: undefined })} />
      <TimeRange />
    </>
  );
}

function AuditObject({ event }: { event: Event }) {
  const { t } = useTranslation();
  const kind = KINDS.find((value) => value === event.object_kind);
  const path = event.action.endsWith(".delete") ? undefined : objectPath(event.object_kind, event.object_name);
  return (
    <div style={{ maxWidth: 260, overflowWrap: "anywhere" }}>
      <div className="small quiet">{kind ? t(`objectKind.${kind}`) : event.object_kind}</div>
      {path ? <Link to={path}>{event.object_name}</Link> : event.object_name}
    </div>
  );
}
