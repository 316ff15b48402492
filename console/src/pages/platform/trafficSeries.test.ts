import { expect, test } from "vitest";
import type { Traffic, TrafficRow } from "../../api/schema";
import { trafficSeries } from "./trafficSeries";

const row = (service: string, priority: TrafficRow["priority"], rate: number, ttft: number | null = null): TrafficRow => ({
  service, project: service === "foreign" ? "other" : "default", priority, requests_per_second: rate, errors_per_second: 0, prompt_tokens_per_second: 0, completion_tokens_per_second: 0, cached_share: null, ttft_ms_p50: ttft, ttft_ms_p95: ttft, running: 0, waiting: 0,
});
const look = (second: number, ...services: TrafficRow[]): Traffic => ({ at: new Date(second * 1000).toISOString(), gateways: 1, services, routes: [] });
const same = (group: string) => group;

test("rates of a service's classes are added, and a service that is idle has none", () => {
  const looks = [look(10, row("a", "default", 1), row("a", "batch", 2)), look(12, row("b", "default", 9))];
  expect(trafficSeries(looks, "service", (one) => one.requests_per_second, "sum", same)).toEqual([
    { name: "b", points: [[10, 0], [12, 9]] },
    { name: "a", points: [[10, 3], [12, 0]] },
  ]);
});

test("of times the slowest counts, and where none was measured there is a hole", () => {
  const looks = [look(10, row("a", "default", 1, 100), row("b", "default", 1, 300)), look(12, row("a", "default", 1))];
  expect(trafficSeries(looks, "class", (one) => one.ttft_ms_p95, "most", same)).toEqual([{ name: "default", points: [[10, 300]] }]);
});

test("services of other projects are left out where one is chosen", () => {
  const looks = [look(10, row("a", "default", 1), row("foreign", "default", 5))];
  expect(trafficSeries(looks, "service", (one) => one.requests_per_second, "sum", same, "default").map((series) => series.name)).toEqual(["a"]);
});
