import { beforeAll, expect, test, vi } from "vitest";
import type { streamChat as Stream } from "./stream";

let streamChat: typeof Stream;
beforeAll(async () => {
  vi.stubGlobal("window", { location: { origin: "http://here" } });
  ({ streamChat } = await import("./stream"));
});

/** An answer in these events, and whether the page has hung up on it. */
function answering(events: object[]): { left: () => boolean; sent: () => unknown } {
  let left = false;
  let sent: unknown;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => events.forEach((event) => controller.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(event)}\n\n`))),
    cancel: () => {
      left = true;
    },
  });
  vi.stubGlobal("fetch", (_: string, init: RequestInit) => {
    sent = JSON.parse(init.body as string);
    return Promise.resolve(new Response(body, { headers: { "x-request-id": "req-1" } }));
  });
  return { left: () => left, sent: () => sent };
}

const delta = (value: object) => ({ choices: [{ delta: value }] });

async function listen(): Promise<{ text: string; reasoning: string }> {
  const heard = { text: "", reasoning: "" };
  await streamChat({ model: "m", messages: [] }, new AbortController().signal, {
    onText: (text) => (heard.text += text),
    onReasoning: (text) => (heard.reasoning += text),
    onCalls: () => undefined,
    onMeasured: () => undefined,
  }).finally(() => Object.assign(last, heard));
  return heard;
}
const last = { text: "", reasoning: "" };

test("what the model thinks is kept apart from what it answers, under either name", async () => {
  const { sent } = answering([delta({ reasoning_content: "Let " }), delta({ reasoning: "me see." }), delta({ content: "42", reasoning_content: null }), { error: { message: "the end" } }]);
  await expect(listen()).rejects.toThrow("the end");
  expect(last).toEqual({ text: "42", reasoning: "Let me see." });
  expect(sent()).toMatchObject({ stream: true, stream_options: { include_usage: true } });
});

test("an error in the stream ends the connection and says the request id", async () => {
  const { left } = answering([delta({ content: "a" }), { error: { message: "out of memory" } }]);
  await expect(listen()).rejects.toMatchObject({ message: "out of memory", requestId: "req-1" });
  expect(left()).toBe(true);
});
