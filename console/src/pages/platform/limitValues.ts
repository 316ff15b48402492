import type { TFunction } from "i18next";
import type { Limits } from "../../api/schema";
import { formatCount } from "../../parts/format";

/** Every limit, in the order in which they are shown. */
export const LIMITS = ["rpm", "tpm", "input_tpm", "output_tpm", "concurrency", "tokens_per_day", "tokens_per_month", "budget_per_day", "budget_per_month"] as const;

/** Whether a limit is money; the others are counts. */
export const isBudget = (name: string) => name.startsWith("budget_");

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
  return LIMITS.flatMap((name) => (limits?.[name] == null ? [] : [`${isBudget(name) ? limits[name] : formatCount(limits[name])} ${t(`limits.unit.${name}`)}`])).join(", ");
}
