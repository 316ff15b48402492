import { queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";

export const modelsQuery = (project?: string) =>
  queryOptions({
    queryKey: ["model", "list", project],
    queryFn: () => need(api.GET("/api/v1/models", { params: { query: { limit: 500, project } } })),
  });

export const modelQuery = (name: string) =>
  queryOptions({ queryKey: ["model", "one", name], queryFn: () => need(api.GET("/api/v1/models/{name}", { params: { path: { name } } })) });

export const versionsQuery = (name: string) =>
  queryOptions({ queryKey: ["model", "versions", name], queryFn: () => need(api.GET("/api/v1/models/{name}/versions", { params: { path: { name } } })) });

export const catalogQuery = queryOptions({ queryKey: ["catalog"], staleTime: 60_000, queryFn: () => need(api.GET("/api/v1/catalog")) });
