import type { CacheRule, CacheRuleSet, CacheStats } from "../../api/schema";
import type { Same } from "../../parts/Equivalent";

export interface CacheValues extends CacheRuleSet {
  project?: string;
  model?: string;
}

export const USUAL: CacheRuleSet = { mode: "on", ttl_seconds: 3600, threshold: 0.95, max_entries: 10_000, any_temperature: false };

export function valuesOf(rule: CacheRule): CacheValues {
  const { project, model, mode, ttl_seconds, embedding_model, threshold, max_entries, any_temperature } = rule;
  return { project, model, mode, ttl_seconds, embedding_model, threshold, max_entries, any_temperature };
}

/** A whole rule: what the form does not show stays as usual. */
export function bodyOf(values: CacheValues): CacheRuleSet {
  const names = Object.keys(USUAL) as (keyof CacheRuleSet)[];
  const given = Object.fromEntries(names.flatMap((name) => (values[name] == null ? [] : [[name, values[name]]])));
  return { ...USUAL, ...given, ...(values.embedding_model ? { embedding_model: values.embedding_model } : {}) };
}

export function sameAs(values: CacheValues): Same {
  const [project, model, body] = [values.project || "default", values.model || "MODEL", bodyOf(values)];
  const command = ["aicp", "cache", "set", model, "--project", project, "--mode", String(body.mode), "--ttl-seconds", String(body.ttl_seconds), "--max-entries", String(body.max_entries)];
  if (body.embedding_model) command.push("--embedding-model", body.embedding_model, "--threshold", String(body.threshold));
  if (body.any_temperature) command.push("--any-temperature");
  return { command, method: "PUT", path: `/api/v1/cache-rules/${project}/${model}`, body };
}

/** A part of a whole in per cent with one digit; undefined where there is no whole. */
export function share(part: number, whole: number): string | undefined {
  return whole ? `${(Math.round((part / whole) * 1000) / 10).toString()} %` : undefined;
}

export const hitsOf = (stats: CacheStats | undefined): number => (stats ? stats.exact_hits + stats.semantic_hits : 0);

export const measuredOf = (stats: CacheStats | undefined): number => (stats ? (stats.agreed ?? 0) + (stats.disagreed ?? 0) : 0);
