import { DashboardOutlined, DisconnectOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Segmented } from "antd";
import { useTranslation } from "react-i18next";
import type { TrafficRoute, TrafficRow } from "../../api/schema";
import { DataTable } from "../../parts/DataTable";
import { Empty, PageSkeleton, ProblemView } from "../../parts/Feedback";
import { formatCount, formatMs, formatNumber, formatPercent } from "../../parts/format";
import { LazyChart } from "../../parts/LazyChart";
import { Head, Panel } from "../../parts/Page";
import { useUrlMany } from "../../parts/url";
import { useProject } from "../../queries/project";
import { trafficQuery, type Watched } from "../../queries/traffic";
import { UseBar } from "./LimitUse";
import { trafficSeries, type By, type Together } from "./trafficSeries";

const SHOWN_SECONDS = 300;
const STEP_SECONDS = 5;

interface Question {
  title: "chartRequests" | "chartTokens" | "chartTtft" | "chartErrors" | "chartRunning" | "chartWaiting";
  read: (row: TrafficRow) => number | null | undefined;
  together: Together;
  format: (value: number) => string;
}

const QUESTIONS: Question[] = [
  { title: "chartRequests", read: (row) => row.requests_per_second, together: "sum", format: formatNumber },
  { title: "chartTokens", read: (row) => row.prompt_tokens_per_second + row.completion_tokens_per_second, together: "sum", format: formatCount },
  { title: "chartTtft", read: (row) => row.ttft_ms_p95, together: "most", format: formatMs },
  { title: "chartErrors", read: (row) => row.errors_per_second, together: "sum", format: formatNumber },
  { title: "chartRunning", read: (row) => row.running, together: "sum", format: formatCount },
  { title: "chartWaiting", read: (row) => row.waiting, together: "sum", format: formatCount },
];

/** What all gateways do at the moment, and did since the page was opened. */
export function Traffic() {
  const { t } = useTranslation();
  const [url, setUrl] = useUrlMany();
  const [project] = useProject();
  const by: By = url.get("by") === "class" ? "class" : "service";
  const { data, error, refetch } = useQuery(trafficQuery);
  const choice = <Segmented value={by} onChange={(value) => setUrl({ by: value === "service" ? undefined : value })} options={[{ value: "service", label: t("traffic.byService") }, { value: "class", label: t("traffic.byClass") }]} />;
  return (
    <div className="page">
      <Head title={t("nav.traffic")} sub={t("traffic.sub")} actions={choice} />
      {error && !data ? <ProblemView error={error} retry={() => void refetch()} /> : !data ? <PageSkeleton /> : <Shown watched={data} by={by} project={project} />}
    </div>
  );
}

function Shown({ watched, by, project }: { watched: Watched; by: By; project?: string }) {
  const { t } = useTranslation();
  const { now } = watched;
  if (now.gateways === 0) return <section className="panel"><Empty icon={<DisconnectOutlined />} title={t("traffic.noGateway")} text={t("traffic.noGatewayText")} /></section>;
  const rows = now.services.filter((row) => !project || row.project === project);
  const services = new Set(rows.map((row) => row.service));
  const routes = now.routes.filter((route) => !project || services.has(route.service));
  return (
    <div className="stack wide">
      <div className="grid3">{QUESTIONS.map((question) => <Live key={question.title} question={question} watched={watched} by={by} project={project} />)}</div>
      <Rows rows={rows} />
      {routes.length > 0 && <Places routes={routes} />}
    </div>
  );
}

function Live({ question, watched, by, project }: { question: Question; watched: Watched; by: By; project?: string }) {
  const { t } = useTranslation();
  const title = t(`traffic.${question.title}`);
  const to = Date.parse(watched.now.at) / 1000;
  const name = (group: string) => group || t("traffic.refused");
  const series = trafficSeries(watched.looks, by, question.read, question.together, name, project);
  const empty = t(question.title === "chartTtft" && watched.now.services.length > 0 ? "traffic.noStream" : "traffic.none");
  return <Panel title={title}><LazyChart label={title} height={180} format={question.format} group="traffic" empty={empty} span={{ from: to - SHOWN_SECONDS, to, step: STEP_SECONDS }} series={series} /></Panel>;
}

function Rows({ rows }: { rows: TrafficRow[] }) {
  const { t } = useTranslation();
  return (
    <DataTable<TrafficRow>
      name="traffic"
      listing={{ data: { items: rows, total: rows.length }, isPending: false, error: null, refetch: () => undefined }}
      rowKey={(row) => `${row.service} ${row.priority}`}
      text={(row) => `${row.service} ${row.priority}`}
      columns={[
        { key: "service", title: t("traffic.service"), sort: (row) => row.service, render: (_, row) => <b>{row.service || <span className="quiet">{t("traffic.refused")}</span>}</b> },
        { key: "class", title: t("traffic.class"), sort: (row) => row.priority, render: (_, row) => row.priority },
        { key: "requests", title: t("traffic.requests"), number: true, sort: (row) => row.requests_per_second, render: (_, row) => formatNumber(row.requests_per_second) },
        { key: "errors", title: t("traffic.errors"), number: true, sort: (row) => row.errors_per_second, render: (_, row) => formatNumber(row.errors_per_second) },
        { key: "prompt", title: t("traffic.prompt"), number: true, sort: (row) => row.prompt_tokens_per_second, render: (_, row) => formatCount(row.prompt_tokens_per_second) },
        { key: "completion", title: t("traffic.completion"), number: true, sort: (row) => row.completion_tokens_per_second, render: (_, row) => formatCount(row.completion_tokens_per_second) },
        { key: "cached", title: t("traffic.cached"), number: true, sort: (row) => row.cached_share ?? 0, render: (_, row) => formatPercent(row.cached_share) },
        { key: "p50", title: t("traffic.ttft50"), number: true, sort: (row) => row.ttft_ms_p50 ?? 0, render: (_, row) => formatMs(row.ttft_ms_p50) },
        { key: "p95", title: t("traffic.ttft95"), number: true, sort: (row) => row.ttft_ms_p95 ?? 0, render: (_, row) => formatMs(row.ttft_ms_p95) },
        { key: "running", title: t("traffic.running"), number: true, sort: (row) => row.running, render: (_, row) => formatCount(row.running) },
        { key: "waiting", title: t("traffic.waiting"), number: true, sort: (row) => row.waiting, render: (_, row) => formatCount(row.waiting) },
      ]}
      empty={{ icon: <DashboardOutlined />, title: t("traffic.none"), text: t("traffic.noneText") }}
    />
  );
}

function Places({ routes }: { routes: TrafficRoute[] }) {
  const { t } = useTranslation();
  return (
    <Panel title={t("traffic.places")}>
      <div className="stack">
        {routes.map((route) => <UseBar key={route.route} title={route.route} share={route.used / Math.max(route.places, 1)} words={t("traffic.placesText", { used: route.used, places: route.places })} />)}
      </div>
    </Panel>
  );
}
