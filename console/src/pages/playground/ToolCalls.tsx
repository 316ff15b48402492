import { ToolOutlined } from "@ant-design/icons";
import { Button, Input } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Code } from "../../parts/Code";
import type { ToolCall } from "./tools";

/** What the model wants called; the person plays the tool and gives its results. */
export function ToolCalls({ calls, onAnswer }: { calls: ToolCall[]; onAnswer?: (results: Record<string, string>) => void }) {
  const { t } = useTranslation();
  const [results, setResults] = useState<Record<string, string>>({});
  return (
    <div className="stack" data-testid="tool-calls">
      {calls.map((call) => (
        <div key={call.id} className="stack">
          <div className="small quiet"><ToolOutlined /> {t("play.toolCall", { name: call.function.name })}</div>
          <Code text={call.function.arguments || "{}"} />
          {onAnswer && <Input.TextArea autoSize aria-label={t("play.toolResult", { name: call.function.name })} placeholder={t("play.toolResult", { name: call.function.name })} value={results[call.id] ?? ""} onChange={(event) => setResults({ ...results, [call.id]: event.target.value })} />}
        </div>
      ))}
      {onAnswer && <div><Button size="small" type="primary" disabled={calls.some((call) => !results[call.id])} onClick={() => onAnswer(results)}>{t("play.toolSend")}</Button></div>}
    </div>
  );
}
