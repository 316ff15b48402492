import type { HeldShare, PoolDevice } from "../../api/schema";

/** One stretch of a bar: what a replica holds, or what is free (`share` null). */
export interface Piece {
  key: string;
  share: HeldShare | null;
  amount: number;
  /** Of the bar's width, in percent. */
  width: number;
}

export type Measure = "compute" | "memory";

/** The whole of a device in the measure. */
export const wholeOf = (device: PoolDevice, measure: Measure) => (measure === "compute" ? 100 : device.memory_bytes);

/** What is free of a device in the measure. */
export const freeOf = (device: PoolDevice, measure: Measure) => (measure === "compute" ? device.free_compute_percent : device.free_memory_bytes);

/** What a share holds in the measure. */
export const heldOf = (share: HeldShare, measure: Measure) => (measure === "compute" ? share.compute_percent : share.memory_bytes);

/**
 * The stretches of a device's bar, to scale. Processors are shared in time, so that more than the whole may be given
 * away: then the bar stands for all that is given, and nothing is free.
 */
export function pieces(device: PoolDevice, measure: Measure): Piece[] {
  const whole = wholeOf(device, measure);
  const held = device.shares.reduce((sum, share) => sum + heldOf(share, measure), 0);
  const scale = 100 / Math.max(whole, held, 1);
  const taken = device.shares.map((share, index): Piece => ({ key: `${share.replica ?? "other"}-${index}`, share, amount: heldOf(share, measure), width: heldOf(share, measure) * scale }));
  const free = Math.max(0, whole - held);
  return free > 0 ? [...taken, { key: "free", share: null, amount: free, width: free * scale }] : taken;
}

/** How much is given away of a device in the measure, as a ratio that may be above 1. */
export function givenRatio(device: PoolDevice, measure: Measure): number {
  const whole = wholeOf(device, measure);
  return whole > 0 ? device.shares.reduce((sum, share) => sum + heldOf(share, measure), 0) / whole : 0;
}

/** Strength of a device's colour, in percent: how busy it is, or how much of its memory is in use where it does not say. */
export function heatOf(device: PoolDevice): number {
  const busy = device.utilization_percent ?? (device.memory_bytes > 0 ? (100 * (device.memory_used_bytes ?? 0)) / device.memory_bytes : 0);
  return Math.round(25 + 0.75 * Math.min(100, Math.max(0, busy)));
}
