import { expect, test } from "@playwright/test";
import { accessible, call, ensureService, SERVICE, unique } from "./platform";

const LINES = 3;

/** Requests of a batch; the last one names a model that is not there. */
function requests(): Buffer {
  const line = (number: number) => ({ custom_id: `line-${String(number)}`, method: "POST", url: "/v1/chat/completions", body: { model: number < LINES - 1 ? SERVICE : "no-such-model", messages: [{ role: "user", content: "hello" }], max_tokens: 2 } });
  return Buffer.from(Array.from({ length: LINES }, (_, number) => JSON.stringify(line(number))).join("\n"));
}

test("a batch is ordered from a file, followed to its end, and its results are downloaded", async ({ page, request }) => {
  await ensureService(request);
  const name = unique("batches");
  await call(request, "POST", "/keys", { name });
  await page.goto("/platform/batches");
  await page.getByRole("button", { name: "New batch" }).first().click();
  const dialog = page.getByRole("dialog", { name: "New batch" });
  await expect(dialog.getByRole("button", { name: "New batch" })).toBeDisabled();
  await dialog.locator("input[type=file]").setInputFiles({ name: "requests.jsonl", mimeType: "application/jsonl", buffer: requests() });
  await dialog.getByRole("combobox", { name: "API key" }).click();
  await dialog.getByRole("combobox", { name: "API key" }).fill(name);
  await page.locator(".ant-select-item-option").filter({ hasText: name }).click();
  await accessible(page);
  await dialog.getByRole("button", { name: "New batch" }).click();
  const drawer = page.locator(".ant-drawer").filter({ hasText: "Answered" });
  await expect(drawer.getByText("Completed", { exact: true })).toBeVisible({ timeout: 60_000 });
  await accessible(page);
  const download = page.waitForEvent("download");
  await drawer.getByRole("link", { name: "Lines in error" }).click();
  expect((await download).suggestedFilename()).toMatch(/^batch_.*_error\.jsonl$/);
  await drawer.getByRole("button", { name: "Close" }).click();
  await expect(page.getByText(`${String(LINES)} of ${String(LINES)} lines · 1 in error`).first()).toBeVisible();
});

test("a file that is wrong is told with its lines", async ({ page, request }) => {
  const { key } = await call<{ key: { id: string } }>(request, "POST", "/keys", { name: unique("batches") });
  const sent = await request.post("/api/v1/files?filename=wrong.jsonl", { data: Buffer.from("no json\n"), headers: { "X-AICP-Request": "1", "Content-Type": "application/octet-stream" } });
  const batch = await call<{ id: string }>(request, "POST", "/batches", { input_file_id: ((await sent.json()) as { id: string }).id, api_key_id: key.id });
  await page.goto(`/platform/batches?batch=${batch.id}`);
  await expect(page.getByText("Line 1: The line is not valid JSON.")).toBeVisible();
});
