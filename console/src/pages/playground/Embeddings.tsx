import { CodeOutlined } from "@ant-design/icons";
import { useMutation } from "@tanstack/react-query";
import { Button, Input } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Service } from "../../api/schema";
import { ProblemView } from "../../parts/Feedback";
import { Panel } from "../../parts/Page";
import { CodeDialog } from "./CodeDialog";
import { cosine } from "./cosine";
import { ServicePick, useService } from "./ServicePick";
import { post, type Measured } from "./stream";
import { Meta } from "./TurnView";

interface Answer {
  data: { index: number; embedding: number[] }[];
  usage?: { prompt_tokens?: number };
}

/** How near texts are to each other, as a matrix. */
export function Embeddings({ services }: { services: Service[] }) {
  const { t } = useTranslation();
  const [service, setService] = useService(services);
  const [text, setText] = useState(t("play.embeddingSample"));
  const [coding, setCoding] = useState(false);
  const inputs = text.split("\n").map((line) => line.trim()).filter(Boolean).slice(0, 12);
  const request = { model: service?.name ?? "", input: inputs };
  const ask = useMutation({
    mutationFn: async () => {
      const began = performance.now();
      const response = await post("/embeddings", request);
      const answer = (await response.json()) as Answer;
      const measured: Measured = { totalMs: performance.now() - began, requestId: response.headers.get("x-request-id") ?? undefined };
      return { inputs, vectors: [...answer.data].sort((a, b) => a.index - b.index).map((item) => item.embedding), measured, tokens: answer.usage?.prompt_tokens };
    },
  });
  return (
    <div className="grid2" style={{ alignItems: "start" }}>
      <Panel title={<ServicePick services={services} value={service?.name} onChange={setService} />} extra={<Button size="small" type="text" icon={<CodeOutlined />} onClick={() => setCoding(true)}>{t("play.code")}</Button>}>
        <div className="stack">
          <Input.TextArea rows={8} value={text} aria-label={t("play.texts")} onChange={(event) => setText(event.target.value)} />
          <div className="row spread">
            <span className="small quiet">{t("play.textsHint")}</span>
            <Button type="primary" loading={ask.isPending} disabled={inputs.length < 2} onClick={() => ask.mutate()}>{t("play.measure")}</Button>
          </div>
        </div>
      </Panel>
      <Panel title={t("play.similarity")}>
        {ask.error ? <ProblemView error={ask.error} retry={() => ask.mutate()} /> : ask.data ? (
          <>
            <Matrix texts={ask.data.inputs} vectors={ask.data.vectors} />
            <div className="message"><Meta measured={ask.data.measured} /></div>
            <p className="small quiet num" style={{ marginBottom: 0 }}>{t("play.dimensions", { count: ask.data.vectors[0]?.length ?? 0, tokens: ask.data.tokens ?? 0 })}</p>
          </>
        ) : <span className="quiet">{t("play.similarityEmpty")}</span>}
      </Panel>
      {service && <CodeDialog open={coding} onClose={() => setCoding(false)} service={service} request={request} />}
    </div>
  );
}

function Matrix({ texts, vectors }: { texts: string[]; vectors: number[][] }) {
  const { t } = useTranslation();
  return (
    <div style={{ overflowX: "auto" }} tabIndex={0}>
      <table className="matrix num" aria-label={t("play.similarity")}>
        <thead>
          <tr><th />{texts.map((_, index) => <th key={index} scope="col" style={{ textAlign: "center", paddingInlineEnd: 0 }}>{index + 1}</th>)}</tr>
        </thead>
        <tbody>
          {texts.map((text, row) => (
            <tr key={row}>
              <th scope="row" className="clip" title={text}>{row + 1}&ensp;{text}</th>
              {texts.map((_, column) => {
                const value = cosine(vectors[row] ?? [], vectors[column] ?? []);
                return <td key={column} style={{ background: `color-mix(in srgb, var(--ant-color-primary) ${Math.round(Math.max(0, value) * 45)}%, var(--ant-color-fill-quaternary))` }}>{value.toFixed(2)}</td>;
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
