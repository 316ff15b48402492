import dayjs, { type Dayjs } from "dayjs";
import type { ApiKey, ApiKeyCreate, ApiKeyUpdate, Defaults, Limits, Priority } from "../../api/schema";
import type { Same } from "../../parts/Equivalent";
import { limitsSet, limitWords } from "./limitValues";

/** A key as its form holds it. */
export interface KeyValues {
  name: string;
  project: string;
  models?: string[];
  expires?: Dayjs | null;
  limits?: Limits;
  priority?: Priority;
  weight?: number | null;
  networks?: string[];
  max_output_tokens?: number | null;
  defaults?: Defaults;
  tags?: string[];
}

export const PARAMETERS = ["temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "seed"] as const;

/** The platform's names of fields that the form calls otherwise. */
export const NAMES = { expires_at: "expires" };

export function valuesOf(key: ApiKey): KeyValues {
  const { name, project, limits, priority, weight, max_output_tokens, defaults, tags } = key;
  return { name, project, limits, priority, weight, max_output_tokens, defaults, tags, models: key.models ?? [], networks: key.networks ?? [], expires: key.expires_at ? dayjs(key.expires_at) : null };
}

/** What a request says of the key. */
export function fieldsOf(values: KeyValues) {
  return {
    name: values.name,
    models: values.models?.length ? values.models : null,
    expires_at: values.expires?.toISOString() ?? null,
    limits: limitsSet(values.limits),
    priority: values.priority ?? "default",
    weight: values.weight ?? 1,
    networks: values.networks?.length ? values.networks : null,
    max_output_tokens: values.max_output_tokens ?? null,
    defaults: parametersSet(values.defaults),
    tags: values.tags ?? [],
  };
}

/** A new key: what is left as it is goes without saying. */
export function creation(values: KeyValues): ApiKeyCreate {
  const { name, models, expires_at, ...rest } = fieldsOf(values);
  return { name, project: values.project, models, expires_at, ...differing(rest, fieldsOf({ name: "", project: "" })) };
}

/** Only what differs: a key that is over can be renamed without a new end. */
export function changed(values: KeyValues, editing: ApiKey): ApiKeyUpdate {
  const [now, before] = [fieldsOf(values), fieldsOf(valuesOf(editing))];
  return differing(now, before);
}

function differing<T extends object>(now: T, before: Partial<T>): Partial<T> {
  return Object.fromEntries(Object.entries(now).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name as keyof T]))) as Partial<T>;
}

/** What the form does as a command, as REST and as YAML. */
export function sameAs(values: KeyValues, editing: ApiKey | null): Same {
  const before = editing ? valuesOf(editing) : undefined;
  const words = [...many("--model", values.models), ...(values.expires ? ["--expires", values.expires.format("YYYY-MM-DDTHH:mm:ss")] : []), ...limitWords(values.limits, before?.limits), ...ruleWords(values, before)];
  if (editing) {
    const lifts = [...(values.models?.length ? [] : ["--all-models"]), ...(values.expires ? [] : ["--no-expiry"])];
    return { command: ["aicp", "key", "update", editing.id, "--name", values.name, ...lifts, ...words], method: "PATCH", path: `/api/v1/keys/${editing.id}`, body: changed(values, editing) };
  }
  const body = creation(values);
  return { command: ["aicp", "key", "create", values.name, "--project", values.project, ...words], method: "POST", path: "/api/v1/keys", body, document: { kind: "key", ...body } };
}

function ruleWords(values: KeyValues, before: KeyValues | undefined): string[] {
  const priority = values.priority ?? "default";
  const weight = values.weight ?? 1;
  const most = values.max_output_tokens;
  return [
    ...(priority === (before?.priority ?? "default") ? [] : ["--priority", priority]),
    ...(weight === (before?.weight ?? 1) ? [] : ["--weight", String(weight)]),
    ...(values.networks?.length ? many("--network", values.networks) : before?.networks?.length ? ["--any-network"] : []),
    ...(most ? (most === before?.max_output_tokens ? [] : ["--max-output-tokens", String(most)]) : before?.max_output_tokens ? ["--any-output"] : []),
    ...(JSON.stringify(values.tags ?? []) === JSON.stringify(before?.tags ?? []) ? [] : values.tags?.length ? many("--tag", values.tags) : ["--no-tags"]),
    ...PARAMETERS.flatMap((name) => {
      const [now, then] = [values.defaults?.[name] ?? "", before?.defaults?.[name] ?? ""];
      return now === then ? [] : ["--default", `${name}=${now}`];
    }),
  ];
}

const many = (option: string, words: string[] | undefined) => words?.flatMap((word) => [option, word]) ?? [];

function parametersSet(values: Defaults | undefined): Defaults {
  return Object.fromEntries(PARAMETERS.flatMap((name) => (values?.[name] == null ? [] : [[name, values[name]]])));
}
