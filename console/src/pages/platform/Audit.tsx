import { FileProtectOutlined } from "@ant-design/icons";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Event } from "../../api/schema";
import { localized } from "../../app/sentences";
import { Code } from "../../parts/Code";
import { DataTable, PAGE_SIZE } from "../../parts/DataTable";
import { Head } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { useUrlMany } from "../../parts/url";
import { useDebounced } from "../../queries/plan";

/** Who changed what, from where. */
export function Audit() {
  const { t } = useTranslation();
  const [url] = useUrlMany();
  const page = Number(url.get("page") ?? 1);
  const search = useDebounced(url.get("search") ?? "", 250);
  const query = { offset: (page - 1) * PAGE_SIZE, limit: PAGE_SIZE, search: search || undefined };
  const listing = useQuery({ queryKey: ["event", "audit", query], placeholderData: keepPreviousData, queryFn: () => need(api.GET("/api/v1/audit", { params: { query } })) });
  return (
    <div className="page">
      <Head title={t("nav.audit")} sub={t("audit.sub")} />
      <DataTable<Event>
        name="audit"
        listing={listing}
        rowKey={(event) => event.id}
        expand={(event) => (Object.keys(event.details).length > 0 ? <Code text={JSON.stringify(event.details, null, 2)} /> : <span className="quiet">{t("audit.noDetails")}</span>)}
        columns={[
          { key: "at", title: t("audit.at"), render: (_, event) => <Time at={event.at} /> },
          { key: "actor", title: t("audit.actor"), render: (_, event) => <b>{event.actor}</b> },
          { key: "action", title: t("audit.action"), render: (_, event) => <span className="mono">{event.action}</span> },
          { key: "object", title: t("audit.object"), render: (_, event) => <span><span className="quiet">{event.object_kind}</span> {event.object_name}</span> },
          { key: "message", title: t("audit.message"), render: (_, event) => <div className="pre" style={{ maxWidth: 420 }}>{localized(event.message)}</div> },
          { key: "project", title: t("keys.project"), optional: true, render: (_, event) => event.project ?? "–" },
          { key: "address", title: t("audit.address"), render: (_, event) => <span className="num">{event.address ?? "–"}</span> },
          { key: "request", title: t("audit.request"), optional: true, render: (_, event) => <span className="mono">{event.request_id ?? "–"}</span> },
        ]}
        empty={{ icon: <FileProtectOutlined />, title: t("audit.none"), text: t("audit.sub") }}
      />
    </div>
  );
}
