import type { ErrorResponse } from "./schema";

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
