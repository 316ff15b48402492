import { Tooltip } from "antd";
import { useSyncExternalStore } from "react";
import { useTranslation } from "react-i18next";

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

// One clock for every time on the page, so that they all move together.
let now = Date.now();
const listeners = new Set<() => void>();
setInterval(() => {
  now = Date.now();
  listeners.forEach((listener) => listener());
}, 10_000);

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function relative(at: Date, to: number, language: string): string {
  const seconds = (at.getTime() - to) / 1000;
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
  for (const [unit, size] of STEPS) {
    if (Math.abs(seconds) >= size) return format.format(Math.round(seconds / size), unit);
  }
  return format.format(0, "second");
}

export function exact(at: string, language: string): string {
  return new Date(at).toLocaleString(language, { dateStyle: "medium", timeStyle: "medium" });
}

/** The present, in milliseconds, a few seconds old at most. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}

/** A time relative to now, with the exact one on hover. */
export function Time({ at }: { at: string | null | undefined }) {
  const { i18n } = useTranslation();
  const current = useNow();
  if (!at) return <span className="quiet">–</span>;
  return (
    <Tooltip title={exact(at, i18n.language)}>
      <time dateTime={at} className="num">
        {relative(new Date(at), current, i18n.language)}
      </time>
    </Tooltip>
  );
}
