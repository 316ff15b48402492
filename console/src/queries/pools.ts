import { queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";

/** A pool with its nodes, accelerators, shares, waiting replicas and quotas; what is measured moves without a bell. */
export const poolViewQuery = (name: string) =>
  queryOptions({ queryKey: ["pool", "view", name], refetchInterval: 5_000, queryFn: () => need(api.GET("/api/v1/pools/{name}/view", { params: { path: { name } } })) });

/** Which replicas would move so that whole accelerators become free. */
export const movesQuery = (name: string) =>
  queryOptions({ queryKey: ["pool", "moves", name], refetchInterval: 5_000, queryFn: () => need(api.GET("/api/v1/pools/{name}/defragmentation", { params: { path: { name } } })) });

/** Accelerators that only one project may have for a time. */
export const reservationsQuery = (pool: string) =>
  queryOptions({ queryKey: ["pool", "reservations", pool], refetchInterval: 10_000, queryFn: () => need(api.GET("/api/v1/reservations", { params: { query: { pool } } })) });

/** Replicas of a service without a place. */
export const waitingQuery = (name: string) =>
  queryOptions({ queryKey: ["replica", "waiting", name], refetchInterval: 5_000, queryFn: () => need(api.GET("/api/v1/services/{name}/waiting", { params: { path: { name } } })) });

/** What a drain of a node moves, or has still to move. */
export const drainQuery = (id: string, enabled: boolean) =>
  queryOptions({ queryKey: ["node", "drain", id], enabled, refetchInterval: 2_000, queryFn: () => need(api.GET("/api/v1/nodes/{id}/drain", { params: { path: { id } } })) });

/** Pools to choose from. */
export const poolChoices = async (search: string | undefined) => {
  const { items } = await need(api.GET("/api/v1/pools"));
  return items.filter((pool) => pool.name.includes(search ?? "")).map((pool) => ({ value: pool.name, label: pool.name }));
};
