import { expect, test } from "vitest";
import { asked, requestOf } from "./conversation";
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

test("images go with their question as parts, reasoning never goes back", () => {
  const { messages } = requestOf("m", {}, [
    { role: "user", content: "What is it?", images: [{ name: "a.png", url: "data:image/png;base64,AA" }] },
    { role: "assistant", content: "A cat.", reasoning: "It has whiskers." },
    { role: "user", content: "", images: [{ name: "b.png", url: "data:image/png;base64,BB" }] },
  ]);
  expect(messages[0]?.content).toEqual([{ type: "text", text: "What is it?" }, { type: "image_url", image_url: { url: "data:image/png;base64,AA" } }]);
  expect(messages[1]).toEqual({ role: "assistant", content: "A cat." });
  expect(messages[2]?.content).toEqual([{ type: "image_url", image_url: { url: "data:image/png;base64,BB" } }]);
});

test("what was asked last is everything before the answer", () => {
  expect(asked([{ role: "user", content: "a" }, { role: "assistant", content: "b" }])).toEqual([{ role: "user", content: "a" }]);
  expect(asked([{ role: "user", content: "a" }])).toHaveLength(1);
});
