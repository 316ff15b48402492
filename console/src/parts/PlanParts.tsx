import { CheckCircleFilled, CloseCircleFilled } from "@ant-design/icons";
import { Tag } from "antd";
import { useTranslation } from "react-i18next";
import type { Choice, Fit, Plan } from "../api/schema";
import { localized } from "../app/sentences";
import { useSettings } from "../app/settings";
import { chartColors } from "../app/theme";
import { formatBytes, formatValue } from "./format";
import { Meter } from "./Meter";

/** Fits or not, with the numbers and what would fit instead. */
export function Verdict({ fit }: { fit: Fit }) {
  return (
    <div className={`verdict ${fit.fits ? "" : "bad"}`} role="status">
      {fit.fits ? <CheckCircleFilled aria-hidden /> : <CloseCircleFilled aria-hidden />}
      <div>
        <div>{localized(fit.reason)}</div>
        {fit.suggestions.length > 0 && <ul style={{ margin: "4px 0 0", paddingInlineStart: 18 }}>{fit.suggestions.map((text) => <li key={text}>{localized(text)}</li>)}</ul>}
      </div>
    </div>
  );
}

/** Memory of one replica by part, to scale against what is free. */
export function MemoryParts({ plan }: { plan: Plan }) {
  const { t, i18n } = useTranslation();
  const { theme } = useSettings();
  const colors = chartColors(theme);
  const needed = plan.memory.reduce((sum, part) => sum + part.bytes, 0);
  const name = (part: string) => (i18n.exists(`memory.part.${part}`) ? t(`memory.part.${part as "weights"}`) : part);
  return (
    <div>
      <div className="row spread" style={{ marginBottom: 6 }}>
        <b className="num">{formatBytes(needed)}</b>
        {plan.fit.available_bytes != null && <span className="small quiet num">{t("memory.ofFree", { free: formatBytes(plan.fit.available_bytes) })}</span>}
      </div>
      <Meter total={Math.max(needed, plan.fit.available_bytes ?? 0)} parts={plan.memory.map((part) => ({ label: name(part.name), value: part.bytes }))} label={t("memory.need")} />
      <div className="legend">
        {plan.memory.map((part, index) => (
          <div className="line" key={part.name}>
            <i style={{ background: colors[index % colors.length] }} />
            <span>
              {name(part.name)} <span className="small quiet">{localized(part.explanation)}</span>
            </span>
            <span className="num">{formatBytes(part.bytes)}</span>
          </div>
        ))}
      </div>
    </div>
  );
}

/** Every choice with who made it and why. */
export function Choices({ choices }: { choices: Choice[] }) {
  const { t } = useTranslation();
  return (
    <div>
      {choices.map((choice) => (
        <div className="choice" key={choice.name}>
          <div className="line">
            <span className="mono">{choice.name}</span>
            <span className="row" style={{ gap: 6 }}>
              <b className="num">{formatValue(choice.value)}</b>
              {choice.chosen_by === "user" && <Tag style={{ margin: 0 }}>{t("publish.byYou")}</Tag>}
            </span>
          </div>
          <div className="why">{localized(choice.reason)}</div>
        </div>
      ))}
    </div>
  );
}
