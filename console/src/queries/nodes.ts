import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";
import type { AdviceRequest, NodeState } from "../api/schema";
import { everyPage } from "./pages";

export const nodesQuery = () =>
  queryOptions({
    queryKey: ["node", "list"],
    // Measurements do not ring the bell.
    refetchInterval: 10_000,
    queryFn: () => need(api.GET("/api/v1/nodes", { params: { query: { limit: 500 } } })),
  });

export interface NodesWanted {
  search?: string;
  pool?: string;
  state?: NodeState;
  sort?: string;
  offset?: number;
  limit?: number;
}

/** One page of the list of nodes. */
export const nodePageQuery = (query: NodesWanted) =>
  queryOptions({ queryKey: ["node", "page", query], refetchInterval: 10_000, placeholderData: keepPreviousData, queryFn: () => need(api.GET("/api/v1/nodes", { params: { query } })) });

export const nodeReplicasQuery = (id: string, query: { offset?: number; limit?: number }) =>
  queryOptions({ queryKey: ["replica", "on", id, query], placeholderData: keepPreviousData, queryFn: () => need(api.GET("/api/v1/nodes/{id}/replicas", { params: { path: { id }, query } })) });

/** The first few nodes whose name matches, to choose from. */
export const nodeChoices = async (search: string | undefined) => {
  const { items } = await need(api.GET("/api/v1/nodes", { params: { query: { search, limit: 20 } } }));
  return items.map((node) => ({ value: node.name, label: node.name }));
};

export const nodeQuery = (id: string) =>
  queryOptions({ queryKey: ["node", "one", id], refetchInterval: 5_000, queryFn: () => need(api.GET("/api/v1/nodes/{id}", { params: { path: { id } } })) });

export const poolsQuery = queryOptions({ queryKey: ["pool", "list"], queryFn: () => need(api.GET("/api/v1/pools")) });

/** Published facts of accelerators; they change with the platform's version alone. */
export const acceleratorCatalogQuery = queryOptions({ queryKey: ["accelerator-catalog"], staleTime: Infinity, queryFn: () => everyPage((query) => need(api.GET("/api/v1/accelerator-catalog", { params: { query } }))) });

/** How many cards the services need; asked again whenever the question changes. */
export const adviceQuery = (body: AdviceRequest) =>
  queryOptions({
    queryKey: ["advice", body],
    enabled: body.services.length > 0 && body.cards.length > 0,
    placeholderData: keepPreviousData,
    retry: false,
    queryFn: () => need(api.POST("/api/v1/pools/advice", { body })),
  });

export const enginesQuery = queryOptions({ queryKey: ["engine", "list"], queryFn: () => need(api.GET("/api/v1/engines")) });
