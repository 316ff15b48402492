import type { ChatMessage, ChatRequest, Measured } from "./stream";
import { readTools, type ToolCall } from "./tools";

export interface Turn {
  role: "user" | "assistant" | "tool";
  content: string;
  toolCalls?: ToolCall[];
  /** Of a tool's result: the call that it answers. */
  toolCallId?: string;
  measured?: Measured;
  error?: string;
  stopped?: boolean;
}

/** `tools` is the JSON as it is being written. */
export type Parameters = Omit<ChatRequest, "model" | "messages" | "tools"> & { system?: string; tools?: string };

/** The turns so far as the API takes them; failed and empty ones are left out. */
export function requestOf(model: string, { system, tools, ...parameters }: Parameters, turns: Turn[]): ChatRequest {
  const messages: ChatMessage[] = turns.filter((turn) => (turn.content || turn.toolCalls) && !turn.error).map(messageOf);
  if (system) messages.unshift({ role: "system", content: system });
  const offered = readTools(tools);
  return { model, messages, ...parameters, ...(offered?.length ? { tools: offered } : {}) };
}

function messageOf({ role, content, toolCalls, toolCallId }: Turn): ChatMessage {
  if (toolCallId) return { role, content, tool_call_id: toolCallId };
  return toolCalls ? { role, content: content || null, tool_calls: toolCalls } : { role, content };
}
