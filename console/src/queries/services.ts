import { queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";

const one = (name: string) => ({ params: { path: { name } } });

export const servicesQuery = (project?: string) =>
  queryOptions({
    queryKey: ["service", "list", project],
    queryFn: () => need(api.GET("/api/v1/services", { params: { query: { limit: 500, project } } })),
  });

export const serviceQuery = (name: string) =>
  queryOptions({ queryKey: ["service", "one", name], queryFn: () => need(api.GET("/api/v1/services/{name}", one(name))) });

export const replicasQuery = (name: string) =>
  queryOptions({ queryKey: ["replica", "of", name], queryFn: () => need(api.GET("/api/v1/services/{name}/replicas", one(name))) });

export const revisionsQuery = (name: string) =>
  queryOptions({ queryKey: ["service", "revisions", name], queryFn: () => need(api.GET("/api/v1/services/{name}/revisions", one(name))) });
