import type { Image } from "./images";
import type { ChatMessage, ChatRequest, Measured } from "./stream";
import { readTools, type ToolCall } from "./tools";

export interface Turn {
  role: "user" | "assistant" | "tool";
  content: string;
  /** Of an answer: the service that gave it. */
  service?: string;
  images?: Image[];
  /** What the model thought before it answered; never sent back. */
  reasoning?: string;
  toolCalls?: ToolCall[];
  /** Of a tool's result: the call that it answers. */
  toolCallId?: string;
  measured?: Measured;
  error?: string;
  stopped?: boolean;
}

/** `tools` is the JSON as it is being written. */
export type Parameters = Omit<ChatRequest, "model" | "messages" | "tools"> & { system?: string; tools?: string };

/** The turns so far as the API takes them; failed and empty ones are left out, and images for a model that reads none: its turns still alternate. */
export function requestOf(model: string, { system, tools, ...parameters }: Parameters, turns: Turn[], withImages = true): ChatRequest {
  const messages: ChatMessage[] = turns.filter((turn) => (turn.content || turn.toolCalls || turn.images?.length) && !turn.error).map((turn) => messageOf(withImages ? turn : { ...turn, images: undefined }));
  if (system) messages.unshift({ role: "system", content: system });
  const offered = readTools(tools);
  return { model, messages, ...parameters, ...(offered?.length ? { tools: offered } : {}) };
}

function messageOf({ role, content, images, toolCalls, toolCallId }: Turn): ChatMessage {
  if (toolCallId) return { role, content, tool_call_id: toolCallId };
  if (images?.length) return { role, content: [...(content ? [{ type: "text" as const, text: content }] : []), ...images.map(({ url }) => ({ type: "image_url" as const, image_url: { url } }))] };
  return toolCalls ? { role, content: content || null, tool_calls: toolCalls } : { role, content };
}

/** The turns up to the last that was sent: without an answer at the end. */
export function asked(turns: Turn[]): Turn[] {
  return turns.at(-1)?.role === "assistant" ? turns.slice(0, -1) : turns;
}
