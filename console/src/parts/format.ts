const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** Bytes for people: binary units, three significant digits, as `1.46 GiB`. */
export function formatBytes(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined || !Number.isFinite(bytes)) return "–";
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value.toFixed(0) : significant(value)} ${UNITS[unit]}`;
}

/** Counts such as tokens and parameters: 950, 12.4 k, 3.1 M, 7.2 B. */
export function formatCount(count: number | null | undefined): string {
  if (count === null || count === undefined || !Number.isFinite(count)) return "–";
  const steps: [number, string][] = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];
  for (const [size, letter] of steps) {
    if (Math.abs(count) >= size) return `${significant(count / size)} ${letter}`;
  }
  return Number.isInteger(count) ? String(count) : significant(count);
}

/** Money, counted in millionths of a currency: `12.50 USD`; small amounts have two digits that say something. */
export function formatMoney(micros: number | null | undefined, currency: string): string {
  if (micros === null || micros === undefined || !Number.isFinite(micros)) return "–";
  const amount = micros / 1e6;
  const size = Math.abs(amount);
  const places = size === 0 || size >= 1 ? 2 : Math.min(6, 1 - Math.floor(Math.log10(size)));
  return `${size >= 1e6 ? formatCount(amount) : amount.toFixed(places)} ${currency}`.trimEnd();
}

/** Lengths of context as the trade writes them: 8K is 8192 tokens. */
export function formatContext(tokens: number | null | undefined): string {
  return tokens && tokens % 1024 === 0 && tokens < 2 ** 20 ? `${tokens / 1024}K` : formatCount(tokens);
}

export function formatDuration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${significant(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${significant(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

export function formatMs(ms: number | null | undefined): string {
  return ms === null || ms === undefined ? "–" : formatDuration(ms / 1000);
}

export function formatPercent(ratio: number | null | undefined, digits = 0): string {
  return ratio === null || ratio === undefined || !Number.isFinite(ratio) ? "–" : `${(ratio * 100).toFixed(digits)} %`;
}

export function formatNumber(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : significant(value);
}

export const GIB = 2 ** 30;

function significant(value: number): string {
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return String(Number(value.toFixed(digits)));
}

/** Anything as text a person can read: objects as JSON, nothing as a dash. */
export function formatValue(value: unknown): string {
  if (value === null || value === undefined || value === "") return "–";
  return typeof value === "string" ? value : JSON.stringify(value);
}
