import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";
import type { Outcome, RequestLogRuleSet } from "../api/schema";

export interface RequestsWanted {
  request_id?: string;
  project?: string;
  api_key_id?: string;
  service?: string;
  outcome?: Outcome;
  status?: number;
  tag?: string;
  with_body?: boolean;
  since?: string;
  until?: string;
}

const AT_ONCE = 100;
const FRESH_MS = 5_000;

/** Single requests, newest first, as far back as one wants to read. */
export const requestsQuery = (wanted: RequestsWanted) =>
  infiniteQueryOptions({
    queryKey: ["request", "list", wanted],
    placeholderData: keepPreviousData,
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam: before }) => need(api.GET("/api/v1/requests", { params: { query: { ...wanted, before, limit: AT_ONCE } } })),
    getNextPageParam: (last) => last.next ?? undefined,
    // Whoever reads further back is left in peace, and one request does not change.
    refetchInterval: (query) => (wanted.request_id || (query.state.data?.pages.length ?? 0) > 1 ? false : FRESH_MS),
  });

export const requestQuery = (id: string) =>
  queryOptions({ queryKey: ["request", "one", id], queryFn: () => need(api.GET("/api/v1/requests/{request_id}", { params: { path: { request_id: id } } })) });

/** Asked for only when somebody wants to read it: each time is in the audit log, so it is not asked again by itself. */
export const requestBodyQuery = (id: string) =>
  queryOptions({
    queryKey: ["request", "body", id],
    staleTime: Infinity,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
    queryFn: () => need(api.GET("/api/v1/requests/{request_id}/body", { params: { path: { request_id: id } } })),
  });

export const requestLogQuery = (project: string) =>
  queryOptions({ queryKey: ["project", "request-log", project], queryFn: () => need(api.GET("/api/v1/projects/{name}/request-log", { params: { path: { name: project } } })) });

export const setRequestLog = (project: string, body: RequestLogRuleSet) => need(api.PUT("/api/v1/projects/{name}/request-log", { params: { path: { name: project } }, body }));

export const deleteRequestLog = (project: string) => need(api.DELETE("/api/v1/projects/{name}/request-log", { params: { path: { name: project } } }));
