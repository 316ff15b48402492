import createClient from "openapi-fetch";
import { problemOf } from "./problem";
import type { paths } from "./schema";

export { Problem, problemOf } from "./problem";

/** Headers of every request that changes something: a foreign page cannot send them. */
export const CHANGE_HEADERS = { "X-AICP-Request": "1" };

const lost = new Set<() => void>();

/** Calls `listener` when the platform says that the session is over. */
export function onSessionLost(listener: () => void): () => void {
  lost.add(listener);
  return () => lost.delete(listener);
}

export const api = createClient<paths>({ baseUrl: window.location.origin, credentials: "same-origin" });
api.use({
  onRequest({ request }) {
    if (request.method !== "GET") request.headers.set("X-AICP-Request", "1");
    return request;
  },
  onResponse({ request, response }) {
    if (response.status === 401 && !request.url.endsWith("/session")) lost.forEach((listener) => listener());
  },
});

/** The data of an answer; anything else is thrown as a Problem. */
export async function need<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call;
  if (!response.ok) throw problemOf(response.status, error, response.headers.get("x-request-id"));
  return data as T;
}
