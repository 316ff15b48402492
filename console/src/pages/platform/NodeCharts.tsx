import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { ProblemView } from "../../parts/Feedback";
import { formatBytes, formatNumber, formatPercent } from "../../parts/format";
import { LazyChart } from "../../parts/LazyChart";
import { Panel } from "../../parts/Page";
import { metricQuery, type Range } from "../../queries/metrics";
import { RangeChoice, useRange } from "../services/Metrics";

const QUESTIONS = [
  { name: "accelerator_memory_used_bytes", title: "deviceMemory", format: formatBytes },
  { name: "accelerator_utilization_percent", title: "deviceBusy", format: (value: number) => formatPercent(value / 100) },
  { name: "accelerator_temperature_celsius", title: "deviceTemperature", format: (value: number) => `${formatNumber(value)} °C` },
  { name: "accelerator_power_watts", title: "devicePower", format: (value: number) => `${formatNumber(value)} W` },
] as const;

export function NodeCharts({ node }: { node: string }) {
  const [range, setRange] = useRange();
  return (
    <div className="stack wide">
      <RangeChoice range={range} onChange={setRange} />
      <div className="grid2">{QUESTIONS.map((question) => <OneChart key={question.name} question={question} node={node} range={range} />)}</div>
    </div>
  );
}

function OneChart({ question, node, range }: { question: (typeof QUESTIONS)[number]; node: string; range: Range }) {
  const { t } = useTranslation();
  const { data, error, isPending, refetch } = useQuery(metricQuery(question.name, { node }, range));
  const title = t(`chart.${question.title}`);
  return (
    <Panel title={title}>
      {error ? <ProblemView error={error} retry={() => void refetch()} /> : (
        <LazyChart pending={isPending} label={title} format={question.format} group={`node-${node}`} empty={t("chart.noData", { range: t(`rangeLast.${range}`) })} span={data?.span} series={(data?.series ?? []).map((series) => ({ name: series.labels.device ?? title, points: series.points }))} />
      )}
    </Panel>
  );
}
