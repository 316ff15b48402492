import { queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";

export const nodesQuery = () =>
  queryOptions({
    queryKey: ["node", "list"],
    // Measurements do not ring the bell.
    refetchInterval: 10_000,
    queryFn: () => need(api.GET("/api/v1/nodes", { params: { query: { limit: 500 } } })),
  });

export const nodeQuery = (id: string) =>
  queryOptions({ queryKey: ["node", "one", id], refetchInterval: 5_000, queryFn: () => need(api.GET("/api/v1/nodes/{id}", { params: { path: { id } } })) });

export const poolsQuery = queryOptions({ queryKey: ["pool", "list"], queryFn: () => need(api.GET("/api/v1/pools")) });

export const enginesQuery = queryOptions({ queryKey: ["engine", "list"], queryFn: () => need(api.GET("/api/v1/engines")) });
