import { queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";

export const keysQuery = (project?: string) =>
  queryOptions({
    queryKey: ["key", "list", project],
    queryFn: () => need(api.GET("/api/v1/keys", { params: { query: { limit: 500, project } } })),
  });
