import { expect, test } from "vitest";
import type { Pool } from "../../api/schema";
import { bodyOf, creationOf, isLabel, isTaint, labelsOf, sameAs, taintOf, taintWord, valuesOf } from "./poolValues";

const GIB = 2 ** 30;
const POOL = {
  name: "shared", description: "Both", purpose: "windows", labels: { zone: "a" }, policy: "spread", unlike: true, borrowing: true, memory_oversubscription: 1.5,
  windows: [{ days: [1, 2], start: "22:00", end: "06:00", time_zone: "Asia/Taipei" }],
  quotas: [{ project: "lab", accelerators: 2, compute_percent: null, memory_bytes: 96 * GIB, lend_percent: 50, borrow_percent: null }],
} as unknown as Pool;

test("a pool goes through the form without a change", () => {
  const { name, description, purpose, labels, windows, quotas, policy, unlike, borrowing, memory_oversubscription } = POOL;
  expect(creationOf(valuesOf(POOL))).toEqual({ name, description, purpose, labels, windows, quotas, policy, unlike, borrowing, memory_oversubscription });
});

test("hours of training are left out with another purpose, and days default to all", () => {
  expect(bodyOf({ ...valuesOf(POOL), purpose: "both" }).windows).toEqual([]);
  expect(bodyOf({ purpose: "windows", windows: [{ start: "22:00", end: "06:00" }] }).windows[0]).toEqual({ days: [1, 2, 3, 4, 5, 6, 7], start: "22:00", end: "06:00", time_zone: "UTC" });
});

test("a quota without a project is none, zero is a limit and empty is not", () => {
  expect(bodyOf({ quotas: [{}, { project: "web", accelerators: 0 }] }).quotas).toEqual([{ project: "web", accelerators: 0, compute_percent: null, memory_bytes: null, lend_percent: 100, borrow_percent: null }]);
});

test("labels and taints read as they are written", () => {
  expect(labelsOf(["zone=a", "zone=b", "rack="])).toEqual({ zone: "b", rack: "" });
  expect([isLabel("zone=a"), isLabel("zone"), isLabel("a b=c")]).toEqual([true, false, false]);
  expect([isTaint("gpu"), isTaint("gpu=only:no_schedule"), isTaint("gpu:never")]).toEqual([true, true, false]);
  for (const word of ["gpu:no_schedule", "gpu=only:prefer_no_schedule"]) expect(taintWord(taintOf(word))).toBe(word);
  expect(taintOf("gpu")).toEqual({ key: "gpu", value: "", effect: "no_schedule" });
});

test("the command says what the form does, and lifts what is gone", () => {
  const values = valuesOf(POOL);
  expect(sameAs(values).command).toEqual(["aicp", "pool", "create", "shared", "--description", "Both", "--purpose", "windows", "--window", "1,2 22:00-06:00 Asia/Taipei", "--memory-oversubscription", "1.5", "--borrowing", "--label", "zone=a", "--quota", "lab:accelerators=2,memory=96GiB,lend=50"]);
  const edit = sameAs({ ...values, purpose: "both", quotas: [], labels: [] }, POOL);
  expect(edit.command).toEqual(["aicp", "pool", "edit", "shared", "--description", "Both", "--purpose", "both", "--label", "zone=", "--quota", "lab:"]);
  expect(sameAs({ ...values, policy: "pack", unlike: false }, POOL).command.slice(-7)).toEqual(["--policy", "pack", "--alike", "--label", "zone=a", "--quota", "lab:accelerators=2,memory=96GiB,lend=50"]);
  expect(edit.path).toBe("/api/v1/pools/shared");
});
