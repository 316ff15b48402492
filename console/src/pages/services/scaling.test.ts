import { expect, test } from "vitest";
import type { Autoscale, Service } from "../../api/schema";
import { hoursOf, ruleOf, scalingOf } from "./scaling";
import { DEFAULTS, fieldOf, specOf, valuesOf } from "./spec";

const RULE = {
  min_replicas: 0, max_replicas: 4, queued_per_replica: 2, running_per_replica: null, kv_percent: null, ttft_ms: null, idle_seconds: 300, up_seconds: 0, down_seconds: 300, max_wait_seconds: 120,
  windows: [{ days: ["mon", "tue"], start: "08:00:00", end: "18:00:00", time_zone: "Asia/Taipei", min_replicas: 1, max_replicas: 8 }],
} as Autoscale;

test("a change of something else keeps the rule", () => {
  const service = { name: "s", project: "p", spec: { model: "m", autoscale: RULE } } as unknown as Service;
  const rule = specOf({ ...valuesOf(service), drain_seconds: 5 }).autoscale;
  expect(rule).toMatchObject({ min_replicas: 0, max_replicas: 4, queued_per_replica: 2, windows: [{ start: "08:00", end: "18:00", time_zone: "Asia/Taipei" }] });
});

test("without the switch there is no rule, and an empty target is none", () => {
  expect(specOf({ ...DEFAULTS, project: "p", model: "m" }).autoscale).toBeUndefined();
  expect(ruleOf({ max_replicas: 3, ttft_ms: null, kv_percent: undefined })).toEqual({ max_replicas: 3, windows: [] });
});

test("hours are said as the form says them", () => {
  const [window] = scalingOf(RULE).windows ?? [];
  expect(window?.start).toBe("08:00");
  expect(hoursOf(RULE.windows![0]!, (day) => day.toUpperCase())).toBe("MON, TUE 08:00–18:00 Asia/Taipei");
});

test("what the platform says of a bound is shown there", () => {
  expect(fieldOf("spec.autoscale.max_replicas", { ...DEFAULTS, project: "p", model: "m" })).toEqual(["scaling", "max_replicas"]);
});
