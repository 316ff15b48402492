import { queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";

/** Tokens with which machines join, newest first, and the address where they do; only for who may make them. */
export const joinTokensQuery = (enabled: boolean) =>
  queryOptions({ queryKey: ["join_token", "list"], enabled, queryFn: () => need(api.GET("/api/v1/join-tokens", { params: { query: { limit: 500 } } })) });

/** The machines that joined with a token, as the platform noted it; asked often, because somebody waits for it. */
export const arrivalsQuery = (token: string) =>
  queryOptions({
    queryKey: ["event", "joined", token],
    refetchInterval: 3_000,
    queryFn: () => need(api.GET("/api/v1/events", { params: { query: { kind: "node", action: "node.joined", search: token, limit: 100 } } })),
  });
