import { expect, test } from "@playwright/test";
import { accessible, ensureService, SERVICE } from "./platform";

test.beforeEach(async ({ page, request }) => {
  test.setTimeout(240_000);
  await ensureService(request);
  await page.goto(`/playground?service=${SERVICE}`);
});

test("an answer streams in, with its figures; a question can be asked again", async ({ page }) => {
  await page.getByRole("textbox", { name: "Ask something" }).fill("What is a replica?");
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("answer")).toContainText(/\w{3}/, { timeout: 60_000 });
  await expect(page.locator(".meta").filter({ hasText: "TTFT" })).toContainText(/tokens/);
  await accessible(page);
  await page.getByRole("button", { name: "Edit and resend" }).click();
  await page.getByRole("textbox", { name: "Edit and resend" }).fill("What is a pool?");
  await page.getByRole("button", { name: "Resend" }).click();
  await expect(page.locator(".message.user")).toHaveText(/What is a pool\?/);
  await expect(page.getByRole("button", { name: /^(send )?Send$/ })).toBeVisible({ timeout: 60_000 });
  await page.getByRole("button", { name: "View code" }).click();
  await expect(page.getByRole("dialog")).toContainText("What is a pool?");
});

test("a tool that the model calls is answered by hand, and the model goes on", async ({ page }) => {
  // The shipped model has never seen a tool, so the answers are scripted; what the page sends is looked at.
  const sent: { messages: { role: string; content: string | null }[]; tools?: unknown[] }[] = [];
  await page.route("**/api/v1/playground/v1/chat/completions", async (route) => {
    const body = route.request().postDataJSON() as (typeof sent)[number];
    sent.push(body);
    const answered = body.messages.at(-1)?.role === "tool";
    const delta = answered ? { content: "It is 28 °C." } : { tool_calls: [{ index: 0, id: "call_1", function: { name: "get_weather", arguments: '{"city": "Taipei"}' } }] };
    await route.fulfill({ contentType: "text/event-stream", body: `data: ${JSON.stringify({ choices: [{ delta }] })}\n\ndata: [DONE]\n\n` });
  });
  await page.getByRole("button", { name: "Example" }).click();
  await page.getByRole("textbox", { name: "Ask something" }).fill("How warm is Taipei?");
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("tool-calls")).toContainText('{"city": "Taipei"}');
  await accessible(page);
  await page.getByRole("textbox", { name: "Result of get_weather" }).fill("28 °C");
  await page.getByRole("button", { name: "Send the results" }).click();
  await expect(page.getByText("It is 28 °C.")).toBeVisible();
  expect(sent[0]?.tools).toHaveLength(1);
  expect(sent[1]?.messages.map((message) => message.role)).toEqual(["user", "assistant", "tool"]);
});

test("a refusal of the gateway stands where the answer would", async ({ page }) => {
  await page.route("**/api/v1/playground/v1/chat/completions", (route) => route.fulfill({ status: 503, json: { error: { message: `${SERVICE} has no ready replica.`, type: "unavailable", code: "no_ready_replica" } } }));
  await page.getByRole("textbox", { name: "Ask something" }).fill("Hello");
  await page.getByRole("button", { name: /^(send )?Send$/ }).click();
  await expect(page.getByRole("alert")).toContainText("has no ready replica");
});

const PIXEL = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");

test("a model that sees takes images, and its reasoning is folded away", async ({ page }) => {
  // No engine of the platform serves vision models yet, so the type is put into the answer and the model is scripted.
  await page.route("**/api/v1/services?*", async (route) => {
    const answer = await route.fetch();
    const list = (await answer.json()) as { items: { name: string; type: string }[] };
    await route.fulfill({ response: answer, json: { ...list, items: list.items.map((item) => (item.name === SERVICE ? { ...item, type: "vision" } : item)) } });
  });
  let sent: { messages: { content: unknown }[] } | undefined;
  await page.route("**/api/v1/playground/v1/chat/completions", async (route) => {
    sent = route.request().postDataJSON() as typeof sent;
    const deltas = [{ reasoning_content: "One pixel only." }, { content: "A red dot." }];
    await route.fulfill({ contentType: "text/event-stream", body: deltas.map((delta) => `data: ${JSON.stringify({ choices: [{ delta }] })}\n\n`).join("") });
  });
  await page.reload();
  const files = page.locator('.compose input[type="file"]');
  await files.setInputFiles({ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("no picture") });
  await expect(page.getByRole("alert")).toContainText("notes.txt is no PNG");
  await files.setInputFiles({ name: "dot.png", mimeType: "image/png", buffer: PIXEL });
  await expect(page.getByRole("img", { name: "dot.png" })).toBeVisible();
  await accessible(page);
  await page.getByRole("textbox", { name: "Ask something" }).fill("What is it?");
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("answer")).toHaveText("A red dot.");
  expect(sent?.messages[0]?.content).toEqual([{ type: "text", text: "What is it?" }, { type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL.toString("base64")}` } }]);
  const thought = page.getByText("One pixel only.");
  await expect(thought).toBeHidden();
  await page.getByText("Reasoning", { exact: true }).click();
  await expect(thought).toBeVisible();
  await page.getByRole("button", { name: "View code" }).click();
  await expect(page.getByRole("dialog")).toContainText("base64 -w0 image-1.png");
});

test("text models are not offered images; leaving the page ends the answer", async ({ page }) => {
  await expect(page.getByRole("textbox", { name: "Ask something" })).toBeVisible();
  await expect(page.getByRole("button", { name: "Attach an image" })).toHaveCount(0);
  await page.route("**/api/v1/playground/v1/chat/completions", () => undefined);
  await page.getByRole("textbox", { name: "Ask something" }).fill("Hello");
  const left = page.waitForEvent("requestfailed", (request) => request.url().endsWith("/chat/completions"));
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "Services" }).click();
  expect((await left).failure()?.errorText).toContain("ABORTED");
});

test("one service that fails leaves the others their answers", async ({ page }) => {
  const second = { name: `${SERVICE}-2`, type: "chat", state: "ready", stopped: false, replicas_ready: 1, replicas_wanted: 1 };
  await page.route("**/api/v1/services?*", async (route) => {
    const answer = await route.fetch();
    const list = (await answer.json()) as { items: object[] };
    await route.fulfill({ response: answer, json: { ...list, items: [...list.items, second] } });
  });
  // The failing one answers last of all, so the other must have streamed beside it.
  let fail: (() => void) | undefined;
  await page.route("**/api/v1/playground/v1/chat/completions", async (route) => {
    if ((route.request().postDataJSON() as { model: string }).model === SERVICE) return route.fulfill({ contentType: "text/event-stream", body: `data: ${JSON.stringify({ choices: [{ delta: { content: "Here I am." } }] })}\n\n` });
    await new Promise<void>((resolve) => (fail = resolve));
    await route.fulfill({ status: 503, json: { error: { message: "No replica is ready.", code: "no_ready_replica" } }, headers: { "x-request-id": "req-of-the-test" } });
  });
  await page.goto(`/playground?tab=compare&services=${SERVICE},${second.name}`);
  await page.getByRole("textbox", { name: "Ask something" }).fill("Hello");
  await page.keyboard.press("Enter");
  await expect(page.getByRole("region", { name: SERVICE, exact: true })).toContainText("Here I am.");
  await expect.poll(() => fail !== undefined).toBe(true);
  fail?.();
  await expect(page.getByRole("region", { name: second.name }).getByRole("alert")).toContainText(/No replica is ready.*req-of-the-test/);
  await expect(page.getByRole("region", { name: SERVICE, exact: true })).toContainText("Here I am.");
});

test("compare, embeddings and rerank have their own tabs", async ({ page }) => {
  for (const name of ["Compare", "Embeddings", "Rerank"]) {
    await page.getByRole("tab", { name }).click();
    await expect(page.getByRole("tabpanel", { name })).toBeVisible();
  }
});
