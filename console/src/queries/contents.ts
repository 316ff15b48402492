import { useQueries } from "@tanstack/react-query";
import { api, need } from "../api/client";
import { useMay } from "./session";

const one = { limit: 1, offset: 0 };

/** How much belongs to a project; undefined for what is not known yet, null for what this user may not see. */
export function useContents(project: string) {
  const may = useMay();
  const shown = { services: may("service:read", project), models: may("model:read", project), keys: may("key:read", project) };
  const [services, models, keys, members] = useQueries({
    queries: [
      { queryKey: ["service", "count", project], enabled: shown.services, queryFn: () => need(api.GET("/api/v1/services", { params: { query: { ...one, project } } })) },
      { queryKey: ["model", "count", project], enabled: shown.models, queryFn: () => need(api.GET("/api/v1/models", { params: { query: { ...one, project } } })) },
      { queryKey: ["key", "count", project], enabled: shown.keys, queryFn: () => need(api.GET("/api/v1/keys", { params: { query: { ...one, project, state: "active" } } })) },
      { queryKey: ["project", "count", project], queryFn: () => need(api.GET("/api/v1/projects/{name}/members", { params: { path: { name: project }, query: one } })) },
    ],
  });
  const failed = [services, models, keys, members].find((query) => query.error && !query.data);
  return {
    services: shown.services ? services.data?.total : null,
    models: shown.models ? models.data?.total : null,
    keys: shown.keys ? keys.data?.total : null,
    members: members.data?.total,
    failed,
  };
}

export type Contents = ReturnType<typeof useContents>;
