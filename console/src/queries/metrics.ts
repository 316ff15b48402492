import { queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";

export const overviewQuery = queryOptions({
  queryKey: ["overview"],
  refetchInterval: 15_000,
  queryFn: () => need(api.GET("/api/v1/overview")),
});

export const RANGES = { "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800 } as const;
export type Range = keyof typeof RANGES;

export function isRange(text: string): text is Range {
  return text in RANGES;
}

/** Samples of one metric over a time range that ends now. */
export const metricQuery = (name: string, labels: { service?: string; node?: string; pool?: string }, range: Range) =>
  queryOptions({
    queryKey: ["metric", name, labels, range],
    refetchInterval: 15_000,
    queryFn: async () => {
      const to = Date.now() / 1000;
      const span = { from: to - RANGES[range], to, step: Math.max(15, Math.round(RANGES[range] / 120)) };
      const since = new Date(span.from * 1000).toISOString();
      const series = await need(api.GET("/api/v1/metrics", { params: { query: { name, ...labels, since, step: span.step } } }));
      return { span, series };
    },
  });
