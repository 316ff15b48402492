import { useQueries } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { ProblemView } from "../../parts/Feedback";
import { formatBytes, formatNumber, formatPercent } from "../../parts/format";
import { LazyChart } from "../../parts/LazyChart";
import { Panel } from "../../parts/Page";
import { metricQuery, type Range } from "../../queries/metrics";
import { RangeChoice, useRange } from "../services/Metrics";

const QUESTIONS = [
  { title: "poolCards", format: formatNumber, lines: { pool_accelerators_used: "taken", pool_accelerators: "all" } },
  { title: "poolMemory", format: formatBytes, lines: { pool_memory_given_bytes: "taken", pool_memory_bytes: "all" } },
  { title: "poolCompute", format: (value: number) => formatPercent(value / 100), lines: { pool_compute_given_percent: "taken" } },
  { title: "poolWaiting", format: formatNumber, lines: { pool_waiting: "waiting" } },
] as const;

/** What was given away of a pool, and how many replicas waited, over time. */
export function PoolHistory({ pool }: { pool: string }) {
  const [range, setRange] = useRange();
  return (
    <div className="stack wide">
      <RangeChoice range={range} onChange={setRange} />
      <div className="grid2">{QUESTIONS.map((question) => <OneChart key={question.title} question={question} pool={pool} range={range} />)}</div>
    </div>
  );
}

function OneChart({ question, pool, range }: { question: (typeof QUESTIONS)[number]; pool: string; range: Range }) {
  const { t } = useTranslation();
  const lines = Object.entries(question.lines);
  const answers = useQueries({ queries: lines.map(([metric]) => metricQuery(metric, { pool }, range)) });
  const title = t(`chart.${question.title}`);
  const failed = answers.find((answer) => answer.error);
  const series = lines.map(([, name], at) => ({ name: t(`chart.line.${name}`), points: answers[at]?.data?.series[0]?.points ?? [] }));
  return (
    <Panel title={title}>
      {failed ? <ProblemView error={failed.error} retry={() => answers.forEach((answer) => void answer.refetch())} /> : (
        <LazyChart pending={answers.some((answer) => answer.isPending)} label={title} format={question.format} group={`pool-${pool}`} empty={t("chart.noData", { range: t(`rangeLast.${range}`) })} span={answers[0]?.data?.span} series={series} />
      )}
    </Panel>
  );
}
