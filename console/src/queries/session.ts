import { queryOptions, useQuery, useSuspenseQuery, type QueryClient } from "@tanstack/react-query";
import { api, need, Problem } from "../api/client";
import type { Permission, Session } from "../api/schema";

/** The session, or null when nobody is logged in. */
export const sessionQuery = queryOptions({
  queryKey: ["session"],
  staleTime: 60_000,
  retry: false,
  queryFn: async (): Promise<Session | null> => {
    try {
      return await need(api.GET("/api/v1/session"));
    } catch (error) {
      if (error instanceof Problem && error.status === 401) return null;
      throw error;
    }
  },
});

/** Calls `listener` when the user is gone: logged out, the session over, or another one in this browser. */
export function onUserGone(client: QueryClient, listener: () => void): () => void {
  const current = () => client.getQueryData(sessionQuery.queryKey)?.user.name;
  let user = current();
  return client.getQueryCache().subscribe(() => {
    const [before, now] = [user, current()];
    user = now;
    if (before !== undefined && before !== now) listener();
  });
}

export function useSession(): Session {
  const { data } = useSuspenseQuery(sessionQuery);
  if (!data) throw new Error("no session");
  return data;
}

/** Whether the user may do something, in one project, in all of them (`*`) or (without one) anywhere at all. */
export function useMay(): (permission: Permission, project?: string) => boolean {
  const { data } = useQuery(sessionQuery);
  return (permission, project) => {
    const granted = data?.permissions ?? {};
    if (granted["*"]?.includes(permission)) return true;
    if (project) return granted[project]?.includes(permission) ?? false;
    return Object.values(granted).some((permissions) => permissions.includes(permission));
  };
}
