import { useQuery } from "@tanstack/react-query";
import { Segmented } from "antd";
import { useTranslation } from "react-i18next";
import type { ModelType } from "../../api/schema";
import { ProblemView } from "../../parts/Feedback";
import { formatMs, formatNumber } from "../../parts/format";
import { LazyChart } from "../../parts/LazyChart";
import { Panel } from "../../parts/Page";
import { useUrl } from "../../parts/url";
import { isRange, metricQuery, RANGES, type Range } from "../../queries/metrics";

interface Question {
  name: string;
  title: "requests" | "ttft" | "tokens" | "failures";
  format: (value: number) => string;
  chat?: boolean;
}

const QUESTIONS: Question[] = [
  { name: "requests_per_second", title: "requests", format: formatNumber },
  { name: "ttft_ms", title: "ttft", format: formatMs, chat: true },
  { name: "tokens_per_second", title: "tokens", format: formatNumber },
  { name: "errors_per_second", title: "failures", format: formatNumber },
];

export function Metrics({ service, type }: { service: string; type: ModelType }) {
  const [range, setRange] = useRange();
  return (
    <div className="stack wide">
      <RangeChoice range={range} onChange={setRange} />
      <div className="grid2">
        {QUESTIONS.filter((question) => !question.chat || type === "chat" || type === "vision").map((question) => (
          <OneMetric key={question.name} question={question} service={service} range={range} />
        ))}
      </div>
    </div>
  );
}

export function useRange(): [Range, (range: string) => void] {
  const [range, setRange] = useUrl("range", "1h");
  return [isRange(range) ? range : "1h", setRange];
}

export function RangeChoice({ range, onChange }: { range: Range; onChange: (range: string) => void }) {
  const { t } = useTranslation();
  return <Segmented value={range} onChange={onChange} options={(Object.keys(RANGES) as Range[]).map((value) => ({ value, label: t(`range.${value}`) }))} />;
}

function OneMetric({ question, service, range }: { question: Question; service: string; range: Range }) {
  const { t } = useTranslation();
  const { data, error, isPending, refetch } = useQuery(metricQuery(question.name, { service }, range));
  const title = t(`chart.${question.title}`);
  return (
    <Panel title={title}>
      {error ? (
        <ProblemView error={error} retry={() => void refetch()} />
      ) : (
        <LazyChart pending={isPending} label={title} format={question.format} group={`service-${service}`} empty={t("chart.empty", { range: t(`rangeLast.${range}`) })} span={data?.span} series={(data?.series ?? []).map((series) => ({ name: series.labels.quantile ?? series.labels.replica ?? title, points: series.points }))} />
      )}
    </Panel>
  );
}
