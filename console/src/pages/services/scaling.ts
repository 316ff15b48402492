import type { Autoscale, ScaleWindow, Weekday } from "../../api/schema";

export const DAYS: Weekday[] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/** A scaling rule as the form holds it: times without seconds, and an empty target is none. */
export interface ScalingValues {
  min_replicas?: number | null;
  max_replicas?: number | null;
  queued_per_replica?: number | null;
  running_per_replica?: number | null;
  kv_percent?: number | null;
  ttft_ms?: number | null;
  idle_seconds?: number | null;
  up_seconds?: number | null;
  down_seconds?: number | null;
  max_wait_seconds?: number | null;
  windows?: (Partial<ScaleWindow> | undefined)[];
}

export const SCALING: ScalingValues = { min_replicas: 1, max_replicas: 2, windows: [] };
export const NEW_WINDOW: Partial<ScaleWindow> = { days: DAYS.slice(0, 5), start: "08:00", end: "18:00", time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC", min_replicas: 1, max_replicas: 4 };

export function ruleOf(values: ScalingValues): Autoscale {
  const { windows = [], ...numbers } = values;
  const given = Object.fromEntries(Object.entries(numbers).filter(([, value]) => value !== null && value !== undefined));
  return { ...given, max_replicas: values.max_replicas ?? 1, windows: windows.filter((window): window is ScaleWindow => window?.start !== undefined) };
}

export function scalingOf(rule: Autoscale): ScalingValues {
  return { ...rule, windows: (rule.windows ?? []).map((window) => ({ ...window, start: window.start.slice(0, 5), end: window.end.slice(0, 5) })) };
}

/** `Mon, Tue 08:00–18:00 Asia/Taipei`. */
export function hoursOf(window: ScaleWindow, day: (name: Weekday) => string): string {
  return `${(window.days ?? DAYS).map(day).join(", ")} ${window.start.slice(0, 5)}–${window.end.slice(0, 5)} ${window.time_zone ?? "UTC"}`;
}
