import { expect, test } from "vitest";
import type { UsageRow } from "../../api/schema";
import { leadersOf, seriesOf, timesBetween } from "./usageSeries";

const row = (group: Record<string, string>, requests: number, cost_micros = 0) => ({ group, requests, errors: 0, prompt_tokens: 0, completion_tokens: 0, cost_micros, unpriced: 0 }) as UsageRow;

test("a time without a request is drawn too", () => {
  expect(timesBetween("2026-01-30T12:00:00.000Z", Date.parse("2026-02-01T00:30:00Z"), "day")).toEqual(["2026-01-30", "2026-01-31", "2026-02-01"]);
  expect(timesBetween("2026-01-30T12:00:00.000Z", Date.parse("2026-01-30T13:00:00Z"), "hour")).toEqual(["2026-01-30T12:00:00Z", "2026-01-30T13:00:00Z"]);
  const rows = [row({ day: "2026-01-30" }, 2), row({ day: "2026-02-01" }, 3)];
  expect(seriesOf(rows, ["2026-01-30", "2026-01-31", "2026-02-01"], "day", "all", (one) => one.requests)).toEqual([{ name: "all", points: [["2026-01-30", 2], ["2026-01-31", 0], ["2026-02-01", 3]] }]);
});

test("a long list of groups is drawn as its largest and the others, and nothing is left out", () => {
  const rows = Array.from({ length: 12 }, (_, index) => row({ day: "d", key: `k${index}` }, index + 1, 10));
  const leaders = leadersOf(rows, "key");
  expect(leaders).toEqual(["k11", "k10", "k9", "k8", "k7", "k6", "k5"]);
  const series = seriesOf(rows, ["d"], "day", "", (one) => one.cost_micros ?? 0, { group: "key", leaders, name: (value) => value.toUpperCase(), others: "others" });
  expect(series.map(({ name }) => name)).toEqual(["K11", "K10", "K9", "K8", "K7", "K6", "K5", "others"]);
  expect(series.at(-1)?.points).toEqual([["d", 50]]);
  expect(leadersOf(rows.slice(0, 8), "key")).toHaveLength(8);
});

test("nothing is no series", () => {
  expect(seriesOf([], ["d"], "day", "all", (one) => one.requests)).toEqual([]);
});
