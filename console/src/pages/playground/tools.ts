export interface ToolCall {
  id: string;
  type: "function";
  function: { name: string; arguments: string };
}

export interface ToolCallPiece {
  index?: number;
  id?: string | null;
  function?: { name?: string | null; arguments?: string | null };
}

/** An example to start from. */
export const EXAMPLE_TOOLS = `[
  {
    "type": "function",
    "function": {
      "name": "get_weather",
      "description": "The weather of a city now.",
      "parameters": {
        "type": "object",
        "properties": { "city": { "type": "string" } },
        "required": ["city"]
      }
    }
  }
]`;

/** The tools written as a JSON list; undefined when nothing is written, null when it is no list of objects. */
export function readTools(text: string | undefined): unknown[] | undefined | null {
  if (!text?.trim()) return undefined;
  try {
    const tools: unknown = JSON.parse(text);
    return Array.isArray(tools) && tools.every((tool) => typeof tool === "object" && tool !== null) ? tools : null;
  } catch {
    return null;
  }
}

/** Adds a piece of a streamed tool call: the first brings id and name, later ones more of the arguments. */
export function withPiece(calls: ToolCall[], piece: ToolCallPiece): ToolCall[] {
  const index = piece.index ?? calls.length;
  const old = calls[index] ?? { id: "", type: "function", function: { name: "", arguments: "" } };
  const next = [...calls];
  next[index] = { ...old, id: piece.id || old.id, function: { name: old.function.name + (piece.function?.name ?? ""), arguments: old.function.arguments + (piece.function?.arguments ?? "") } };
  return next;
}
