import type { Traffic, TrafficRow } from "../../api/schema";
import type { Series } from "../../parts/Chart";

export type By = "service" | "class";

const MOST_SERIES = 8;

export const groupOf = (row: TrafficRow, by: By) => (by === "service" ? row.service : row.priority);

/** Sums of rows, or of times the slowest: percentiles of several rows cannot be added. */
export type Together = "sum" | "most";

/** One line a service or class over all looks; where one has nothing at a look it is nothing, or a hole for times. */
export function trafficSeries(looks: Traffic[], by: By, read: (row: TrafficRow) => number | null | undefined, together: Together, name: (group: string) => string, project?: string): Series[] {
  const lines = new Map<string, Map<number, number>>();
  const times = looks.map((look) => Date.parse(look.at) / 1000);
  looks.forEach((look, index) => {
    for (const row of look.services) {
      const value = read(row);
      if (value == null || (project && row.project !== project)) continue;
      const group = groupOf(row, by);
      const line = lines.get(group) ?? new Map<number, number>();
      const before = line.get(index);
      lines.set(group, line.set(index, before === undefined ? value : together === "sum" ? before + value : Math.max(before, value)));
    }
  });
  const size = (line: Map<number, number>) => [...line.values()].reduce((sum, value) => sum + value, 0);
  return [...lines]
    .sort(([, one], [, other]) => size(other) - size(one))
    .slice(0, MOST_SERIES)
    .map(([group, line]) => ({
      name: name(group),
      points: times.flatMap((time, index) => {
        const value = line.get(index) ?? (together === "sum" ? 0 : undefined);
        return value === undefined ? [] : [[time, value] as const];
      }),
    }));
}
