import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { api, need } from "../api/client";
import type { ServiceCreate, ServiceUpdate } from "../api/schema";

/** What would run and why; asked again whenever the pool changes. */
export const planQuery = (body: ServiceCreate) =>
  queryOptions({
    queryKey: ["pool", "plan", body],
    enabled: Boolean(body.spec.model),
    placeholderData: keepPreviousData,
    retry: false,
    queryFn: () => need(api.POST("/api/v1/services/plan", { body })),
  });

/** What a change of a service would run and why. */
export const changePlanQuery = (name: string, body: ServiceUpdate) =>
  queryOptions({
    queryKey: ["pool", "plan", name, body],
    placeholderData: keepPreviousData,
    retry: false,
    queryFn: () => need(api.POST("/api/v1/services/{name}/plan", { params: { path: { name } }, body })),
  });

export function useDebounced<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value);
  const key = JSON.stringify(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(JSON.parse(key) as T), ms);
    return () => clearTimeout(timer);
  }, [key, ms]);
  return settled;
}
