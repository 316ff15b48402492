import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";

export interface UsersWanted {
  search?: string;
  disabled?: boolean;
  sort?: string;
  offset?: number;
  limit?: number;
}

export const usersQuery = (query: UsersWanted) =>
  queryOptions({ queryKey: ["user", "list", query], placeholderData: keepPreviousData, queryFn: () => need(api.GET("/api/v1/users", { params: { query } })) });

export const userQuery = (name: string) =>
  queryOptions({ queryKey: ["user", "one", name], queryFn: () => need(api.GET("/api/v1/users/{name}", { params: { path: { name } } })) });

/** The first few users whose name matches, to choose from. */
export const userChoices = async (search: string | undefined) => {
  const { items } = await need(api.GET("/api/v1/users", { params: { query: { search, limit: 20 } } }));
  return items.map((user) => ({ value: user.name, label: user.name }));
};
