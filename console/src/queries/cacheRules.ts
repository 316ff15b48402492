import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";

/** One page of rules of caches. */
export const cacheRulePageQuery = (query: { project?: string; search?: string; offset?: number; limit?: number }) =>
  queryOptions({ queryKey: ["cache_rule", "page", query], placeholderData: keepPreviousData, queryFn: () => need(api.GET("/api/v1/cache-rules", { params: { query } })) });

/** What the caches did since then. */
export const cacheStatsQuery = (since: string, project?: string) =>
  queryOptions({ queryKey: ["cache_rule", "stats", since, project], refetchInterval: 15_000, queryFn: () => need(api.GET("/api/v1/cache-rules/stats", { params: { query: { since, project } } })) });
