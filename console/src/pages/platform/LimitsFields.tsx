import { Form, InputNumber } from "antd";
import type { TFunction } from "i18next";
import { useTranslation } from "react-i18next";
import type { Limits } from "../../api/schema";
import { formatCount } from "../../parts/format";

/** Every limit, in the order in which they are shown. */
const LIMITS = ["rpm", "tpm", "input_tpm", "output_tpm", "concurrency", "tokens_per_day", "tokens_per_month"] as const;

/** Limits of a key, a project or an organization, in a form that calls them `limits`. */
export function LimitsFields() {
  const { t } = useTranslation();
  return (
    <>
      <p className="small quiet" style={{ marginTop: 0 }}>{t("limits.hint")}</p>
      <div className="pair">
        {LIMITS.map((name) => (
          <Form.Item key={name} name={["limits", name]} label={t(`limits.${name}`)}>
            <InputNumber min={1} precision={0} style={{ width: "100%" }} placeholder={t("limits.none")} />
          </Form.Item>
        ))}
      </div>
    </>
  );
}

/** Those that are set; an empty field is no limit. */
export function limitsSet(values: Limits | undefined): Limits {
  return Object.fromEntries(LIMITS.flatMap((name) => (values?.[name] == null ? [] : [[name, values[name]]])));
}

/** Whether two sets of limits mean the same. */
export const sameLimits = (one: Limits | undefined, other: Limits | undefined) => JSON.stringify(limitsSet(one)) === JSON.stringify(limitsSet(other));

/** The words of a command that set `values`, and lift what `before` had and they have not. */
export function limitWords(values: Limits | undefined, before?: Limits): string[] {
  return LIMITS.flatMap((name) => {
    const [now, then] = [values?.[name] ?? "", before?.[name] ?? ""];
    return now === then ? [] : ["--limit", `${name}=${now}`];
  });
}

/** Limits in one line. */
export function limitsText(limits: Limits | undefined, t: TFunction): string {
  return LIMITS.flatMap((name) => (limits?.[name] == null ? [] : [`${formatCount(limits[name])} ${t(`limits.unit.${name}`)}`])).join(", ");
}
