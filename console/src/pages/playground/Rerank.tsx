import { CodeOutlined } from "@ant-design/icons";
import { useMutation } from "@tanstack/react-query";
import { Button, Input, Progress } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Service } from "../../api/schema";
import { ProblemView } from "../../parts/Feedback";
import { Panel } from "../../parts/Page";
import { CodeDialog } from "./CodeDialog";
import { ServicePick, useService } from "./ServicePick";
import { post, type Measured } from "./stream";
import { Meta } from "./TurnView";

interface Answer {
  results: { index: number; relevance_score: number }[];
}

/** Documents in the order in which they answer a question. */
export function Rerank({ services }: { services: Service[] }) {
  const { t } = useTranslation();
  const [service, setService] = useService(services);
  const [query, setQuery] = useState(t("play.rerankQuery"));
  const [text, setText] = useState(t("play.rerankSample"));
  const [coding, setCoding] = useState(false);
  const documents = text.split("\n").map((line) => line.trim()).filter(Boolean).slice(0, 50);
  const request = { model: service?.name ?? "", query, documents };
  const ask = useMutation({
    mutationFn: async () => {
      const began = performance.now();
      const response = await post("/rerank", request);
      const answer = (await response.json()) as Answer;
      const measured: Measured = { totalMs: performance.now() - began, requestId: response.headers.get("x-request-id") ?? undefined };
      return { measured, results: [...answer.results].sort((a, b) => b.relevance_score - a.relevance_score).map((result) => ({ ...result, text: documents[result.index] ?? "" })) };
    },
  });
  const best = Math.max(1, ...(ask.data?.results.map((result) => result.relevance_score) ?? []));
  return (
    <div className="grid2" style={{ alignItems: "start" }}>
      <Panel title={<ServicePick services={services} value={service?.name} onChange={setService} />} extra={<Button size="small" type="text" icon={<CodeOutlined />} onClick={() => setCoding(true)}>{t("play.code")}</Button>}>
        <div className="stack">
          <label className="stack"><span>{t("play.query")}</span><Input value={query} onChange={(event) => setQuery(event.target.value)} /></label>
          <label className="stack"><span>{t("play.documents")}</span><Input.TextArea rows={8} value={text} onChange={(event) => setText(event.target.value)} /></label>
          <div className="row spread">
            <span className="small quiet">{t("play.documentsHint")}</span>
            <Button type="primary" loading={ask.isPending} disabled={!query || documents.length === 0} onClick={() => ask.mutate()}>{t("play.order")}</Button>
          </div>
        </div>
      </Panel>
      <Panel title={t("play.ranking")}>
        {ask.error ? <ProblemView error={ask.error} retry={() => ask.mutate()} /> : ask.data ? (
          <div className="stack">
            {ask.data.results.map((result, place) => (
              <div key={result.index}>
                <div className="row top"><b className="num quiet">{place + 1}</b><span className="grow">{result.text}</span><span className="num">{result.relevance_score.toFixed(3)}</span></div>
                <Progress percent={Math.max(0, (result.relevance_score / best) * 100)} showInfo={false} size="small" aria-label={result.text} />
              </div>
            ))}
            <div className="message"><Meta measured={ask.data.measured} /></div>
          </div>
        ) : <span className="quiet">{t("play.rankingEmpty")}</span>}
      </Panel>
      {service && <CodeDialog open={coding} onClose={() => setCoding(false)} service={service} request={request} />}
    </div>
  );
}
