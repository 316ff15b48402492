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
  await expect(page.getByText("What is a pool?")).toBeVisible();
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

test("compare, embeddings and rerank have their own tabs", async ({ page }) => {
  for (const name of ["Compare", "Embeddings", "Rerank"]) {
    await page.getByRole("tab", { name }).click();
    await expect(page.getByRole("tabpanel", { name })).toBeVisible();
  }
});
