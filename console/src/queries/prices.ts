import { keepPreviousData, queryOptions, useQuery } from "@tanstack/react-query";
import { api, need } from "../api/client";
import { useMay } from "./session";

/** One page of prices, and their currency. */
export const pricePageQuery = (query: { search?: string; offset?: number; limit?: number }) =>
  queryOptions({ queryKey: ["price", "page", query], placeholderData: keepPreviousData, queryFn: () => need(api.GET("/api/v1/prices", { params: { query } })) });

/** What prices, costs and budgets are in; empty before it is known, or for who may not see usage. */
export function useCurrency(): string {
  const may = useMay();
  const { data } = useQuery({ ...pricePageQuery({ limit: 1 }), enabled: may("usage:read"), staleTime: Infinity });
  return data?.currency ?? "";
}
