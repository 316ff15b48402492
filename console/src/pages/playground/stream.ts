import { CHANGE_HEADERS, Problem, problemOf } from "../../api/client";
import { withPiece, type ToolCall, type ToolCallPiece } from "./tools";

type Part = { type: "text"; text: string } | { type: "image_url"; image_url: { url: string } };

export interface ChatMessage {
  role: "system" | "user" | "assistant" | "tool";
  content: string | null | Part[];
  tool_calls?: ToolCall[];
  tool_call_id?: string;
}

export interface ChatRequest {
  model: string;
  messages: ChatMessage[];
  temperature?: number;
  top_p?: number;
  max_tokens?: number;
  seed?: number;
  tools?: unknown[];
}

/** What is measured of one answer, as the person in front of the screen meets it. */
export interface Measured {
  ttftMs?: number;
  totalMs?: number;
  promptTokens?: number;
  completionTokens?: number;
  requestId?: string;
  finish?: string;
}

interface Delta {
  content?: string | null;
  reasoning_content?: string | null;
  reasoning?: string | null;
  tool_calls?: ToolCallPiece[] | null;
}

interface Chunk {
  choices?: { delta?: Delta; finish_reason?: string | null }[];
  usage?: { prompt_tokens?: number; completion_tokens?: number } | null;
  error?: { message?: string };
}

export const PLAYGROUND = "/api/v1/playground/v1";

export async function post(path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  const response = await fetch(`${PLAYGROUND}${path}`, { method: "POST", body: JSON.stringify(body), signal, headers: { ...CHANGE_HEADERS, "Content-Type": "application/json" } });
  if (!response.ok) throw problemOf(response.status, await response.json().catch(() => undefined), response.headers.get("x-request-id"));
  return response;
}

interface Receiver {
  /** Each piece of the answer's text. */
  onText: (text: string) => void;
  /** Each piece of what the model thinks before it answers. */
  onReasoning: (text: string) => void;
  /** The tool calls as far as they are known. */
  onCalls: (calls: ToolCall[]) => void;
  /** What is measured so far. */
  onMeasured: (measured: Measured) => void;
}

/** The request as it is sent: in pieces, with the counts of tokens at the end. */
export function streamed(request: ChatRequest): ChatRequest & { stream: true; stream_options: object } {
  return { ...request, stream: true, stream_options: { include_usage: true } };
}

/** Streams one chat answer. */
export async function streamChat(request: ChatRequest, signal: AbortSignal, { onText, onReasoning, onCalls, onMeasured }: Receiver): Promise<void> {
  const began = performance.now();
  const measured: Measured = {};
  let calls: ToolCall[] = [];
  const response = await post("/chat/completions", streamed(request), signal);
  measured.requestId = response.headers.get("x-request-id") ?? undefined;
  for await (const chunk of chunks(response)) {
    if (chunk.error) throw new Problem(502, "engine_error", chunk.error.message ?? "", null, {}, measured.requestId ?? null);
    const delta = chunk.choices?.[0]?.delta;
    // Engines call it by either name.
    const reasoning = delta?.reasoning_content ?? delta?.reasoning;
    if (reasoning || delta?.content || delta?.tool_calls?.length) measured.ttftMs ??= performance.now() - began;
    if (reasoning) onReasoning(reasoning);
    if (delta?.content) onText(delta.content);
    if (delta?.tool_calls?.length) {
      calls = delta.tool_calls.reduce(withPiece, calls);
      onCalls(calls);
    }
    measured.finish = chunk.choices?.[0]?.finish_reason ?? measured.finish;
    if (chunk.usage) {
      measured.promptTokens = chunk.usage.prompt_tokens;
      measured.completionTokens = chunk.usage.completion_tokens;
    }
    measured.totalMs = performance.now() - began;
    onMeasured({ ...measured });
  }
}

async function* chunks(response: Response): AsyncGenerator<Chunk> {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r?\n/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const data = line.startsWith("data:") ? line.slice(5).trim() : "";
        if (data === "[DONE]") return;
        if (data) yield JSON.parse(data) as Chunk;
      }
    }
  } finally {
    // Whoever stops listening, after an error in the stream too, ends the engine's work.
    await reader.cancel().catch(() => undefined);
  }
}
