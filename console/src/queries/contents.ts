import { useQueries } from "@tanstack/react-query";
import { api, need } from "../api/client";
import { useMay } from "./session";

const one = { limit: 1, offset: 0 };

/** How much belongs to a project; undefined for what is not known yet, or not shown to this user. */
export function useContents(project: string) {
  const may = useMay();
  const [services, models, keys, members] = useQueries({
    queries: [
      { queryKey: ["service", "count", project], enabled: may("service:read", project), queryFn: () => need(api.GET("/api/v1/services", { params: { query: { ...one, project } } })) },
      { queryKey: ["model", "count", project], enabled: may("model:read", project), queryFn: () => need(api.GET("/api/v1/models", { params: { query: { ...one, project } } })) },
      { queryKey: ["key", "count", project], enabled: may("key:read", project), queryFn: () => need(api.GET("/api/v1/keys", { params: { query: { ...one, project, state: "active" } } })) },
      { queryKey: ["project", "count", project], queryFn: () => need(api.GET("/api/v1/projects/{name}/members", { params: { path: { name: project }, query: one } })) },
    ],
  });
  return { services: services.data?.total, models: models.data?.total, keys: keys.data?.total, members: members.data?.total };
}

export type Contents = ReturnType<typeof useContents>;
