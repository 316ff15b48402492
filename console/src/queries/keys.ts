import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";
import type { KeyState } from "../api/schema";
import { everyPage } from "./pages";

/** The living keys that are limited to a service, or to it and others. */
export const keysOfServiceQuery = (model: string) =>
  queryOptions({
    queryKey: ["key", "of", model],
    queryFn: () => need(api.GET("/api/v1/keys", { params: { query: { limit: 500, model, state: "active" } } })),
  });

export const keysQuery = (project?: string) =>
  queryOptions({
    queryKey: ["key", "list", project],
    queryFn: () => everyPage((page) => need(api.GET("/api/v1/keys", { params: { query: { ...page, project } } }))),
  });

/** The first few living keys of a project whose name matches, to choose from. */
export const livingKeyChoices = (project: string) => async (search: string | undefined) => {
  const { items } = await need(api.GET("/api/v1/keys", { params: { query: { project, search, state: "active", limit: 20 } } }));
  return items.map((key) => ({ value: key.id, label: `${key.name} (${key.prefix}…)` }));
};

export interface KeysWanted {
  project?: string;
  state?: KeyState;
  tag?: string;
  search?: string;
  sort?: string;
  offset?: number;
  limit?: number;
}

/** One page of the list of keys. */
export const keyPageQuery = (query: KeysWanted) =>
  queryOptions({ queryKey: ["key", "page", query], placeholderData: keepPreviousData, queryFn: () => need(api.GET("/api/v1/keys", { params: { query } })) });

/** The first few keys whose name matches, to choose from. */
export const keyChoices = async (search: string | undefined) => {
  const { items } = await need(api.GET("/api/v1/keys", { params: { query: { search, limit: 20 } } }));
  return items.map((key) => ({ value: key.id, label: key.name }));
};

export const keyQuery = (id: string) =>
  queryOptions({ queryKey: ["key", "one", id], retry: false, queryFn: () => need(api.GET("/api/v1/keys/{key_id}", { params: { path: { key_id: id } } })) });
