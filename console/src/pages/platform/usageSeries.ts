import dayjs from "dayjs";
import type { UsageRow } from "../../api/schema";
import type { Series } from "../../parts/Chart";

export type Step = "day" | "hour";

const HOUR_MS = 3_600_000;
const MOST_SERIES = 7;

/** Every day or hour (UTC) from `since` to `until`, in the platform's words; one without a request is among them. */
export function timesBetween(since: string, until: number, step: Step): string[] {
  const length = step === "day" ? 24 * HOUR_MS : HOUR_MS;
  const times: string[] = [];
  for (let at = Math.floor(Date.parse(since) / length) * length; at <= until; at += length) {
    const text = new Date(at).toISOString();
    times.push(step === "day" ? text.slice(0, 10) : text.replace(".000Z", "Z"));
  }
  return times;
}

/** Days are those of UTC; hours are said in the reader's time. */
export const timeLabel = (time: string, step: Step) => (step === "day" ? time : dayjs(time).format("MM-DD HH:mm"));

/** The groups with the most requests, the largest first; the others of a long list are drawn as one. */
export function leadersOf(rows: UsageRow[], group: string): string[] {
  const requests = new Map<string, number>();
  for (const row of rows) {
    const name = row.group[group] ?? "";
    requests.set(name, (requests.get(name) ?? 0) + row.requests);
  }
  const sorted = [...requests].sort(([, one], [, other]) => other - one).map(([name]) => name);
  return sorted.length > MOST_SERIES + 1 ? sorted.slice(0, MOST_SERIES) : sorted;
}

export interface Split {
  group: string;
  leaders: string[];
  /** Words for a group. */
  name: (value: string) => string;
  /** What the groups that do not lead are called together. */
  others: string;
}

/** One series a group over all `times`; without a split one of all rows, called `label`. */
export function seriesOf(rows: UsageRow[], times: string[], step: Step, label: string, read: (row: UsageRow) => number, split?: Split): Series[] {
  if (rows.length === 0) return [];
  const sums = new Map<string, Map<string, number>>();
  for (const row of rows) {
    const value = split ? (row.group[split.group] ?? "") : "";
    const name = !split ? label : split.leaders.includes(value) ? split.name(value) : split.others;
    const time = row.group[step] ?? "";
    const line = sums.get(name) ?? new Map<string, number>();
    sums.set(name, line.set(time, (line.get(time) ?? 0) + read(row)));
  }
  const names = split ? [...split.leaders.map(split.name), split.others] : [label];
  return names.filter((name) => sums.has(name)).map((name) => ({ name, points: times.map((time) => [timeLabel(time, step), sums.get(name)?.get(time) ?? 0] as const) }));
}
