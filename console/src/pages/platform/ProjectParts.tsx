import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { api, need } from "../../api/client";
import { ProblemView } from "../../parts/Feedback";
import { formatCount } from "../../parts/format";
import { LazyChart } from "../../parts/LazyChart";
import { Panel } from "../../parts/Page";
import { State } from "../../parts/State";
import { useSince } from "../../queries/since";

const SHOWN = 10;

/** The services of a project, the first few. */
export function ProjectServices({ project }: { project: string }) {
  const { t } = useTranslation();
  const { data, error, refetch } = useQuery({ queryKey: ["service", "of", project], queryFn: () => need(api.GET("/api/v1/services", { params: { query: { project, limit: SHOWN } } })) });
  return (
    <Panel title={t("nav.services")} extra={<Link to={`/services?project=${project}`}>{t("overview.all")}</Link>} flush>
      {error ? <ProblemView error={error} retry={() => void refetch()} /> : data?.items.length === 0 ? <div className="quiet" style={{ padding: 16 }}>{t("services.emptyTitle")}</div> : data?.items.map((service) => (
        <div key={service.name} className="row spread" style={{ padding: "10px 16px", borderBottom: "1px solid var(--ant-color-border-secondary)" }}>
          <Link to={`/services/${service.name}`} className="strong clip grow">{service.name}</Link>
          <State state={service.state} reason={service.reason} />
        </div>
      ))}
    </Panel>
  );
}

/** What a project used in the last days. */
export function ProjectUsage({ project }: { project: string }) {
  const { t } = useTranslation();
  return (
    <Panel title={t("projects.usage")} extra={<Link to={`/platform/usage?project=${project}&span=30d`}>{t("overview.all")}</Link>}>
      <DailyRequests which={{ project }} label={t("projects.usage")} />
    </Panel>
  );
}

/** Requests a day over the last 30 days, of one project or key. */
export function DailyRequests({ which, label }: { which: { project?: string; api_key_id?: string }; label: string }) {
  const { t } = useTranslation();
  const since = useSince(30);
  const query = { group_by: ["day" as const], since, ...which };
  const { data, error, isPending, refetch } = useQuery({ queryKey: ["usage", query], queryFn: () => need(api.GET("/api/v1/usage/summary", { params: { query } })) });
  if (error) return <ProblemView error={error} retry={() => void refetch()} />;
  const points = (data?.items ?? []).map((row) => [row.group.day ?? "", row.requests] as const);
  return <LazyChart kind="bar" height={180} pending={isPending} label={label} format={formatCount} empty={t("usage.none")} series={points.length ? [{ name: t("usage.requests"), points }] : []} />;
}
