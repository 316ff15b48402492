import { EditOutlined } from "@ant-design/icons";
import { Alert, Button, Input } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import Markdown from "react-markdown";
import gfm from "remark-gfm";
import { Copy } from "../../parts/Code";
import { formatMs, formatNumber } from "../../parts/format";
import type { Measured } from "./stream";
import { ImageStrip } from "./ImageStrip";
import { ToolCalls } from "./ToolCalls";
import type { Turn } from "./conversation";

interface Props {
  turn: Turn;
  name: string;
  busy: boolean;
  onResend?: (text: string) => void;
  onAnswerCalls?: (results: Record<string, string>) => void;
}

export function TurnView({ turn, name, busy, onResend, onAnswerCalls }: Props) {
  const { t } = useTranslation();
  const [editing, setEditing] = useState<string | null>(null);
  if (turn.role === "user") {
    return (
      <div className="message user">
        <div className="who">
          {t("play.you")}
          {onResend && editing === null && <Button type="text" size="small" icon={<EditOutlined />} aria-label={t("play.edit")} title={t("play.edit")} onClick={() => setEditing(turn.content)} />}
        </div>
        {editing === null ? (
          <div className="text">
            {turn.images && turn.images.length > 0 && <ImageStrip images={turn.images} />}
            {turn.content}
          </div>
        ) : (
          <div className="stack">
            <Input.TextArea autoFocus autoSize value={editing} aria-label={t("play.edit")} onChange={(event) => setEditing(event.target.value)} />
            <div className="row">
              <Button size="small" type="primary" onClick={() => { onResend?.(editing); setEditing(null); }}>{t("play.resend")}</Button>
              <Button size="small" onClick={() => setEditing(null)}>{t("action.cancel")}</Button>
            </div>
          </div>
        )}
      </div>
    );
  }
  if (turn.role === "tool") {
    return (
      <div className="message user">
        <div className="who">{t("play.tool")}</div>
        <div className="text mono">{turn.content}</div>
      </div>
    );
  }
  return (
    <div className="message" aria-busy={busy}>
      <div className="who">
        {turn.service ?? name}
        {!busy && turn.content && <Copy text={turn.content} />}
      </div>
      <Answer turn={turn} busy={busy} onAnswerCalls={onAnswerCalls} />
    </div>
  );
}

function Answer({ turn, busy, onAnswerCalls }: Pick<Props, "turn" | "busy" | "onAnswerCalls">) {
  const { t } = useTranslation();
  return (
    <>
      {turn.reasoning && (
        <details className="reasoning" data-testid="reasoning">
          <summary>{t(busy && !turn.content ? "play.thinking" : "play.reasoning")}</summary>
          <div className="pre">{turn.reasoning}</div>
        </details>
      )}
      <div className="text" data-testid="answer">
        {turn.content ? <Markdown remarkPlugins={[gfm]} components={{ img: ({ alt }) => <span className="quiet">[{alt}]</span> }}>{turn.content}</Markdown> : busy && !turn.toolCalls && !turn.reasoning && <span className="quiet">{t("play.waiting")}</span>}
      </div>
      {turn.toolCalls && <ToolCalls calls={turn.toolCalls} onAnswer={busy ? undefined : onAnswerCalls} />}
      {turn.error && <Alert type="error" showIcon title={turn.error} role="alert" />}
      {(turn.measured || turn.stopped) && <Meta measured={turn.measured ?? {}} stopped={turn.stopped} />}
    </>
  );
}

export function Meta({ measured, stopped }: { measured: Measured; stopped?: boolean }) {
  const { t } = useTranslation();
  const { ttftMs, totalMs, promptTokens, completionTokens, requestId, finish } = measured;
  const seconds = totalMs !== undefined && ttftMs !== undefined ? (totalMs - ttftMs) / 1000 : 0;
  // The first token is the prefill's; the rate is of those that follow.
  const speed = completionTokens !== undefined && completionTokens > 1 && seconds > 0 ? (completionTokens - 1) / seconds : undefined;
  return (
    <div className="meta num">
      {ttftMs !== undefined && <span>{t("play.ttft")} {formatMs(ttftMs)}</span>}
      {speed !== undefined && <span>{formatNumber(speed)} {t("play.tokensPerSecond")}</span>}
      {completionTokens !== undefined && <span>{t("play.tokenCount", { prompt: promptTokens ?? 0, completion: completionTokens })}</span>}
      {totalMs !== undefined && <span>{formatMs(totalMs)}</span>}
      {finish === "length" && <span>{t("play.cut")}</span>}
      {stopped && <span>{t("play.stopped")}</span>}
      {requestId && <span className="mono">{requestId}</span>}
    </div>
  );
}
