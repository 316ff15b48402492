import { useTranslation } from "react-i18next";
import type { Mode } from "../../api/schema";

const MODES = ["balanced", "long_text", "custom"] as const;

/** The three modes as cards; works as a form control. */
export function ModeField({ value, onChange }: { value?: Mode; onChange?: (mode: Mode) => void }) {
  const { t } = useTranslation();
  return (
    <div className="modes" role="radiogroup" aria-label={t("publish.mode")}>
      {MODES.map((mode) => (
        <button key={mode} type="button" role="radio" aria-checked={value === mode} className="option" onClick={() => onChange?.(mode)}>
          <b>{t(`mode.${mode}`)}</b>
          <span>{t(`mode.${mode}Hint`)}</span>
        </button>
      ))}
    </div>
  );
}
