import { queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";

/** The living keys that are limited to a service, or to it and others. */
export const keysOfServiceQuery = (model: string) =>
  queryOptions({
    queryKey: ["key", "of", model],
    queryFn: () => need(api.GET("/api/v1/keys", { params: { query: { limit: 500, model, revoked: false } } })),
  });

export const keysQuery = (project?: string) =>
  queryOptions({
    queryKey: ["key", "list", project],
    queryFn: () => need(api.GET("/api/v1/keys", { params: { query: { limit: 500, project } } })),
  });
