import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";
import type { Mode, ServiceState } from "../api/schema";
import type { PageQuery } from "../parts/url";
import { everyPage } from "./pages";

const one = (name: string) => ({ params: { path: { name } } });
const all = (name: string) => ({ params: { path: { name }, query: { limit: 500 } } });

export const servicesQuery = (project?: string) =>
  queryOptions({
    queryKey: ["service", "list", project],
    queryFn: () => everyPage((page) => need(api.GET("/api/v1/services", { params: { query: { ...page, project } } }))),
  });

/** One page of services with their traffic; the platform searches, filters and sorts. */
export const servicePageQuery = (query: PageQuery & { project?: string; state?: ServiceState; mode?: Mode }) =>
  queryOptions({
    queryKey: ["service", "page", query],
    placeholderData: keepPreviousData,
    refetchInterval: 15_000,
    queryFn: () => need(api.GET("/api/v1/services", { params: { query } })),
  });

/** The first few services whose name matches, to choose from. */
export const serviceChoices = async (search: string | undefined) => {
  const { items } = await need(api.GET("/api/v1/services", { params: { query: { search, limit: 20 } } }));
  return items.map((service) => ({ value: service.name, label: service.name }));
};

export const serviceQuery = (name: string) =>
  queryOptions({ queryKey: ["service", "one", name], queryFn: () => need(api.GET("/api/v1/services/{name}", one(name))) });

export const replicasQuery = (name: string) =>
  queryOptions({ queryKey: ["replica", "of", name], queryFn: () => need(api.GET("/api/v1/services/{name}/replicas", all(name))) });

export const revisionsQuery = (name: string) =>
  queryOptions({ queryKey: ["service", "revisions", name], queryFn: () => need(api.GET("/api/v1/services/{name}/revisions", all(name))) });
