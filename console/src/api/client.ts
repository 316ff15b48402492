import createClient from "openapi-fetch";
import type { ErrorResponse, paths } from "./schema";

/** An answer of the platform that is not success: what happened, why, what to do. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint: string | null,
    readonly details: Record<string, unknown>,
    readonly requestId: string | null,
  ) {
    super(message);
  }

  /** Messages by form field, as the platform found them. */
  get fields(): Record<string, string> {
    const fields = this.details.fields;
    return typeof fields === "object" && fields !== null ? (fields as Record<string, string>) : {};
  }
}

export function problemOf(status: number, body: unknown, requestId: string | null): Problem {
  const error = (body as Partial<ErrorResponse> | undefined)?.error;
  if (error?.message) {
    return new Problem(status, error.code ?? "error", error.message, error.hint ?? null, error.details ?? {}, error.request_id ?? requestId);
  }
  return new Problem(status, "http_error", `HTTP ${status}`, null, {}, requestId);
}

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
