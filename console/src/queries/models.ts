import { queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";
import { everyPage } from "./pages";

export const modelsQuery = (project?: string) =>
  queryOptions({
    queryKey: ["model", "list", project],
    queryFn: () => everyPage((page) => need(api.GET("/api/v1/models", { params: { query: { ...page, project } } }))),
  });

export const modelQuery = (name: string) =>
  queryOptions({ queryKey: ["model", "one", name], queryFn: () => need(api.GET("/api/v1/models/{name}", { params: { path: { name } } })) });

export const versionsQuery = (name: string) =>
  queryOptions({ queryKey: ["model", "versions", name], queryFn: () => everyPage((query) => need(api.GET("/api/v1/models/{name}/versions", { params: { path: { name }, query } }))) });

/** Asked again when a node comes or goes: with the pool, the word on each model changes. */
export const catalogQuery = queryOptions({ queryKey: ["node", "catalog"], staleTime: 60_000, queryFn: () => everyPage((query) => need(api.GET("/api/v1/catalog", { params: { query } }))) });
