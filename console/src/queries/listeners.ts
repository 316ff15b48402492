import { queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";

/** All listeners; whether they are open is what gateways say every second. */
export const listenersQuery = queryOptions({
  queryKey: ["listener", "list"],
  refetchInterval: 5_000,
  queryFn: () => need(api.GET("/api/v1/listeners")),
});

export const portsQuery = queryOptions({
  queryKey: ["port", "list"],
  refetchInterval: 15_000,
  queryFn: () => need(api.GET("/api/v1/ports")),
});

export const gatewaysQuery = queryOptions({
  queryKey: ["gateway", "list"],
  refetchInterval: 2_000,
  queryFn: () => need(api.GET("/api/v1/gateways")),
});
