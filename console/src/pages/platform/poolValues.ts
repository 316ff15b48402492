import type { Pool, PoolCreate, PoolQuota, Purpose, Taint, TrainingWindow } from "../../api/schema";
import type { Same } from "../../parts/Equivalent";
import { GIB } from "../../parts/format";

/** A quota as a form holds it: memory in GiB. */
export interface QuotaValues {
  project?: string;
  accelerators?: number | null;
  compute_percent?: number | null;
  memory_gib?: number | null;
  lend_percent?: number | null;
  borrow_percent?: number | null;
}

export interface PoolValues {
  name?: string;
  description?: string;
  purpose?: Purpose;
  windows?: Partial<TrainingWindow>[];
  policy?: Pool["policy"];
  unlike?: boolean;
  borrowing?: boolean;
  memory_oversubscription?: number | null;
  labels?: string[];
  quotas?: QuotaValues[];
}

export const PURPOSES = ["inference", "training", "both", "windows"] as const;
export const POLICIES = ["spread", "pack"] as const;
export const EFFECTS = ["no_schedule", "prefer_no_schedule"] as const;
const LABEL = /^[A-Za-z0-9][A-Za-z0-9._/-]*=[A-Za-z0-9._-]*$/;
const TAINT = /^[A-Za-z0-9][A-Za-z0-9._/-]*(=[A-Za-z0-9._-]*)?(:(no_schedule|prefer_no_schedule))?$/;

export const isLabel = (text: string) => LABEL.test(text);
export const isTaint = (text: string) => TAINT.test(text);

/** Labels as the words that are typed. */
export const labelWords = (labels: Record<string, string> | undefined) => Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);

/** The labels that typed words mean; the last of a key holds, and a word that is not finished means none. */
export const labelsOf = (words: string[] | undefined) => Object.fromEntries((words ?? []).filter((word) => word.includes("=")).map((word) => [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)]));

/** A taint as it is typed. */
export const taintWord = ({ key, value, effect }: Taint) => `${key}${value ? `=${value}` : ""}:${effect ?? "no_schedule"}`;

/** The taint that a typed word means. */
export function taintOf(word: string): Taint {
  const [marks = "", effect] = word.split(":");
  const [key = "", value = ""] = marks.split("=");
  return { key, value, effect: effect === "prefer_no_schedule" ? effect : "no_schedule" };
}

export function valuesOf(pool: Pool): PoolValues {
  return {
    name: pool.name,
    description: pool.description,
    purpose: pool.purpose,
    windows: pool.windows,
    policy: pool.policy,
    unlike: pool.unlike,
    borrowing: pool.borrowing,
    memory_oversubscription: pool.memory_oversubscription,
    labels: labelWords(pool.labels),
    quotas: pool.quotas.map(({ memory_bytes, ...quota }) => ({ ...quota, memory_gib: memory_bytes == null ? null : memory_bytes / GIB })),
  };
}

type Body = Required<Omit<PoolCreate, "name">>;

/** All that a form says of a pool, its name aside. */
export function bodyOf(values: PoolValues): Body {
  const purpose = values.purpose ?? "inference";
  return {
    description: values.description ?? "",
    purpose,
    windows: purpose === "windows" ? (values.windows ?? []).map(windowOf) : [],
    policy: values.policy ?? "spread",
    unlike: values.unlike ?? true,
    borrowing: values.borrowing ?? false,
    memory_oversubscription: values.memory_oversubscription ?? 1,
    labels: labelsOf(values.labels),
    quotas: (values.quotas ?? []).filter((quota) => quota.project).map(quotaOf),
  };
}

export const creationOf = (values: PoolValues): PoolCreate => ({ name: values.name ?? "", ...bodyOf(values) });

function windowOf({ days, start, end, time_zone }: Partial<TrainingWindow>): TrainingWindow {
  return { days: days?.length ? [...days].sort() : [1, 2, 3, 4, 5, 6, 7], start: start ?? "", end: end ?? "", time_zone: time_zone || "UTC" };
}

function quotaOf({ project = "", accelerators, compute_percent, memory_gib, lend_percent, borrow_percent }: QuotaValues): PoolQuota {
  return { project, lend_percent: lend_percent ?? 100, borrow_percent: borrow_percent ?? null, accelerators: accelerators ?? null, compute_percent: compute_percent ?? null, memory_bytes: memory_gib == null ? null : Math.round(memory_gib * GIB) };
}

/** The same as a command and as a request. */
export function sameAs(values: PoolValues, editing?: Pool): Same {
  const body = bodyOf(values);
  const name = editing?.name ?? (values.name || "NAME");
  const lifted = (editing?.quotas ?? []).filter((quota) => !body.quotas.some(({ project }) => project === quota.project)).map((quota) => ["--quota", `${quota.project}:`]);
  const dropped = Object.keys(editing?.labels ?? {}).filter((key) => !(key in body.labels)).map((key) => ["--label", `${key}=`]);
  const words = [
    ...(body.description || editing ? [["--description", body.description]] : []),
    ["--purpose", body.purpose],
    ...body.windows.map(({ days, start, end, time_zone }) => ["--window", `${(days ?? []).join(",")} ${start}-${end} ${time_zone}`]),
    ...(body.policy !== (editing?.policy ?? "spread") ? [["--policy", body.policy]] : []),
    ...(body.memory_oversubscription !== (editing?.memory_oversubscription ?? 1) ? [["--memory-oversubscription", String(body.memory_oversubscription)]] : []),
    ...(body.borrowing !== (editing?.borrowing ?? false) ? [[body.borrowing ? "--borrowing" : "--no-borrowing"]] : []),
    ...(body.unlike !== (editing?.unlike ?? true) ? [[body.unlike ? "--unlike" : "--alike"]] : []),
    ...labelWords(body.labels).map((word) => ["--label", word]),
    ...dropped,
    ...body.quotas.map((quota) => ["--quota", `${quota.project}:${quotaWords(quota)}`]),
    ...lifted,
  ].flat();
  return editing
    ? { command: ["aicp", "pool", "edit", name, ...words], method: "PATCH", path: `/api/v1/pools/${name}`, body }
    : { command: ["aicp", "pool", "create", name, ...words], method: "POST", path: "/api/v1/pools", body: { name, ...body } };
}

function quotaWords({ accelerators, compute_percent, memory_bytes, lend_percent, borrow_percent }: PoolQuota): string {
  const limits = [["accelerators", accelerators], ["compute", compute_percent], ["memory", memory_bytes == null ? null : `${memory_bytes / GIB}GiB`], ["lend", lend_percent === 100 ? null : lend_percent], ["borrow", borrow_percent]];
  return limits.flatMap(([name, limit]) => (limit == null ? [] : [`${name}=${limit}`])).join(",");
}
