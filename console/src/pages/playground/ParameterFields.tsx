import { Button, Input, InputNumber, Slider } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { EXAMPLE_TOOLS, readTools } from "./tools";
import type { Parameters } from "./conversation";

export function ParameterFields({ value, onChange }: { value: Parameters; onChange: (value: Parameters) => void }) {
  const { t } = useTranslation();
  const set = (change: Partial<Parameters>) => onChange({ ...value, ...change });
  return (
    <div className="stack wide">
      <Field label={t("play.system")}>
        <Input.TextArea autoSize={{ minRows: 3, maxRows: 10 }} aria-label={t("play.system")} placeholder={t("play.systemHint")} value={value.system} onChange={(event) => set({ system: event.target.value || undefined })} />
      </Field>
      <Field label="temperature" figure={value.temperature ?? 1}>
        <Slider min={0} max={2} step={0.05} value={value.temperature ?? 1} onChange={(temperature) => set({ temperature })} ariaLabelForHandle="temperature" />
      </Field>
      <Field label="top_p" figure={value.top_p ?? 1}>
        <Slider min={0.05} max={1} step={0.05} value={value.top_p ?? 1} onChange={(top_p) => set({ top_p })} ariaLabelForHandle="top_p" />
      </Field>
      <Field label="max_tokens">
        <InputNumber min={1} style={{ width: "100%" }} aria-label="max_tokens" value={value.max_tokens} onChange={(max_tokens) => set({ max_tokens: max_tokens ?? undefined })} />
      </Field>
      <Field label="seed">
        <InputNumber precision={0} style={{ width: "100%" }} aria-label="seed" placeholder={t("play.random")} value={value.seed} onChange={(seed) => set({ seed: seed ?? undefined })} />
      </Field>
      <Tools text={value.tools} onChange={(tools) => set({ tools })} />
    </div>
  );
}

function Tools({ text, onChange }: { text?: string; onChange: (text: string | undefined) => void }) {
  const { t } = useTranslation();
  const wrong = readTools(text) === null;
  return (
    <div>
      <div className="row spread" style={{ marginBottom: 4 }}>
        <span>{t("play.tools")}</span>
        {!text && <Button size="small" type="text" onClick={() => onChange(EXAMPLE_TOOLS)}>{t("play.toolsExample")}</Button>}
      </div>
      <Input.TextArea className="mono" autoSize={{ minRows: 2, maxRows: 14 }} status={wrong ? "error" : undefined} aria-label={t("play.tools")} aria-invalid={wrong} placeholder="[ … ]" value={text} onChange={(event) => onChange(event.target.value || undefined)} />
      <div className={`small ${wrong ? "bad" : "quiet"}`} role={wrong ? "alert" : undefined}>{t(wrong ? "play.toolsWrong" : "play.toolsHint")}</div>
    </div>
  );
}

function Field({ label, figure, children }: { label: string; figure?: number; children: ReactNode }) {
  return (
    <div>
      <div className="row spread" style={{ marginBottom: 4 }}>
        <span>{label}</span>
        {figure !== undefined && <span className="num quiet">{figure}</span>}
      </div>
      {children}
    </div>
  );
}
