import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";
import type { Traffic } from "../api/schema";

const LOOK_MS = 2_000;
/** Five minutes of looks. */
const KEPT = 150;

export interface Watched {
  now: Traffic;
  /** All looks since the page was opened, the newest last. */
  looks: Traffic[];
}

/** What goes on now, every two seconds, and what was seen before. */
export const trafficQuery = queryOptions({
  queryKey: ["traffic"],
  refetchInterval: LOOK_MS,
  staleTime: 0,
  gcTime: 3 * LOOK_MS,
  queryFn: async ({ client, queryKey }): Promise<Watched> => {
    const now = await need(api.GET("/api/v1/traffic"));
    const before = client.getQueryData<Watched>(queryKey)?.looks ?? [];
    return { now, looks: [...before, now].slice(-KEPT) };
  },
});

/** How much of their limits some keys use. */
export const limitUseQuery = (keys: string[]) =>
  queryOptions({
    queryKey: ["traffic", "limits", keys],
    placeholderData: keepPreviousData,
    refetchInterval: 2 * LOOK_MS,
    enabled: keys.length > 0,
    queryFn: () => need(api.GET("/api/v1/traffic/limits", { params: { query: { api_key_id: keys, limit: 500 } } })),
  });
