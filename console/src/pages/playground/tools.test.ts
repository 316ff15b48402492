import { expect, test } from "vitest";
import { requestOf } from "./conversation";
import { EXAMPLE_TOOLS, readTools, withPiece, type ToolCall } from "./tools";

test("pieces of two streamed calls come together", () => {
  const pieces = [
    { index: 0, id: "a", function: { name: "look_up", arguments: "" } },
    { index: 0, function: { arguments: '{"x"' } },
    { index: 1, id: "b", function: { name: "add", arguments: "{}" } },
    { index: 0, function: { arguments: ": 1}" } },
  ];
  const calls = pieces.reduce(withPiece, [] as ToolCall[]);
  expect(calls.map((call) => [call.id, call.function.name, call.function.arguments])).toEqual([["a", "look_up", '{"x": 1}'], ["b", "add", "{}"]]);
});

test("tools are a JSON list of objects, or nothing", () => {
  expect(readTools(EXAMPLE_TOOLS)).toHaveLength(1);
  expect(readTools("  ")).toBeUndefined();
  for (const text of ["[", "{}", "[1]", "null"]) expect(readTools(text)).toBeNull();
});

test("a conversation with a tool is sent as the API wants it", () => {
  const call: ToolCall = { id: "c", type: "function", function: { name: "f", arguments: "{}" } };
  const request = requestOf("m", { tools: EXAMPLE_TOOLS }, [
    { role: "user", content: "hi" },
    { role: "assistant", content: "", toolCalls: [call] },
    { role: "tool", content: "42", toolCallId: "c" },
  ]);
  expect(request.tools).toHaveLength(1);
  expect(request.messages.slice(1)).toEqual([{ role: "assistant", content: null, tool_calls: [call] }, { role: "tool", content: "42", tool_call_id: "c" }]);
  expect(requestOf("m", { tools: "[broken" }, [])).not.toHaveProperty("tools");
});
