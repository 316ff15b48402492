import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";
import type { PageQuery } from "../parts/url";
import { everyPage } from "./pages";

/** One page of the list of routes; a service that becomes ready changes it, too. */
export const routePageQuery = (query: PageQuery & { project?: string }) =>
  queryOptions({ queryKey: ["route", "page", query], placeholderData: keepPreviousData, refetchInterval: 15_000, queryFn: () => need(api.GET("/api/v1/routes", { params: { query } })) });

/** One page of the list of providers. */
export const providerPageQuery = (query: PageQuery) =>
  queryOptions({ queryKey: ["provider", "page", query], placeholderData: keepPreviousData, queryFn: () => need(api.GET("/api/v1/providers", { params: { query } })) });

export const providersQuery = queryOptions({
  queryKey: ["provider", "list"],
  queryFn: () => everyPage((query) => need(api.GET("/api/v1/providers", { params: { query } }))),
});
