import { expect, test } from "vitest";
import type { HeldShare, PoolDevice } from "../../api/schema";
import { givenRatio, heatOf, pieces } from "./deviceShares";

const GIB = 2 ** 30;
const share = (compute_percent: number, memory: number, replica: string | null = "rep_1"): HeldShare => ({ replica, service: replica && "demo", project: replica && "default", state: "ready", compute_percent, memory_bytes: memory * GIB, mechanism: "interposer", profile: null, policy: "cap", rounding: null });
const device = (...shares: HeldShare[]): PoolDevice => ({
  vendor: "nvidia", device_id: "gpu-0", index: 0, product: "L20", health: "healthy", health_reason: null, simulated: false, slicing: [], utilization_percent: null, memory_used_bytes: null, memory_bytes: 48 * GIB, shares,
  free_compute_percent: Math.max(0, 100 - shares.reduce((sum, item) => sum + item.compute_percent, 0)),
  free_memory_bytes: Math.max(0, 48 * GIB - shares.reduce((sum, item) => sum + item.memory_bytes, 0)),
});

test("slices and what is free are drawn to scale and fill the bar", () => {
  const drawn = pieces(device(share(30, 12), share(10, 24, null)), "compute");
  expect(drawn.map((piece) => piece.width)).toEqual([30, 10, 60]);
  expect(drawn[2]?.share).toBeNull();
  expect(pieces(device(share(30, 12), share(10, 24, null)), "memory").map((piece) => piece.width)).toEqual([25, 50, 25]);
});

test("a slice of one percent is one percent of the bar", () => {
  expect(pieces(device(share(1, 0.25)), "compute").map((piece) => piece.width)).toEqual([1, 99]);
});

test("a whole accelerator leaves nothing free, an idle one is all free", () => {
  expect(pieces(device(share(100, 48)), "compute").map((piece) => piece.key)).toEqual(["rep_1-0"]);
  expect(pieces(device(), "memory")).toEqual([{ key: "free", share: null, amount: 48 * GIB, width: 100 }]);
});

test("what is given away more than once still fits into the bar and says so", () => {
  const shared = device(share(100, 1), share(60, 1));
  const drawn = pieces(shared, "compute");
  expect(drawn.map((piece) => piece.width)).toEqual([62.5, 37.5]);
  expect(givenRatio(shared, "compute")).toBe(1.6);
});

test("two shares of strangers have keys of their own", () => {
  const keys = pieces(device(share(1, 1, null), share(2, 1, null)), "compute").map((piece) => piece.key);
  expect(new Set(keys).size).toBe(keys.length);
});

test("heat follows utilisation, else memory in use, and stays within its bounds", () => {
  expect(heatOf({ ...device(), utilization_percent: 0 })).toBe(25);
  expect(heatOf({ ...device(), utilization_percent: 100 })).toBe(100);
  expect(heatOf({ ...device(), utilization_percent: 300 })).toBe(100);
  expect(heatOf({ ...device(), memory_used_bytes: 24 * GIB })).toBe(63);
  expect(heatOf({ ...device(), memory_bytes: 0 })).toBe(25);
});
