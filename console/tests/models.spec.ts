import { expect, test } from "@playwright/test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { accessible, call, ensureModel, MODEL, MODEL_FOLDER, unique } from "./platform";

test("a folder becomes a model that can be looked into", async ({ page, request }) => {
  const name = unique("folder");
  await page.goto("/models");
  await page.getByRole("button", { name: "Import model" }).first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill(name);
  await dialog.getByLabel("Path").fill(MODEL_FOLDER);
  await accessible(page);
  await dialog.getByRole("button", { name: "Start import" }).click();
  await expect(dialog).toBeHidden();
  await page.getByRole("link", { name, exact: true }).click({ timeout: 30_000 });
  await expect(page.getByRole("heading", { level: 1, name })).toBeVisible();
  await page.getByRole("tab", { name: "Files" }).click();
  await expect(page.getByText("config.json", { exact: true })).toBeVisible();
  await page.getByRole("tab", { name: "Memory calculator" }).click();
  await expect(page.getByText("Weights").first()).toBeVisible();
  await page.getByRole("tab", { name: "Versions" }).click();
  await expect(page.getByRole("link", { name: "v1" })).toBeVisible();

  await page.getByRole("button", { name: "More" }).first().click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  const confirm = page.getByRole("dialog");
  await expect(confirm.getByRole("button", { name: "Delete" })).toBeDisabled();
  await confirm.getByRole("textbox").fill(name);
  await confirm.getByRole("button", { name: "Delete" }).click();
  await expect(page).toHaveURL(/\/models$/);
  expect((await request.get(`/api/v1/models/${name}`)).status()).toBe(404);
});

test("files are uploaded and become a model", async ({ page, request }) => {
  const name = unique("upload");
  await page.goto("/models?import=1");
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill(name);
  await dialog.getByLabel("Import method").click();
  await page.getByTitle("Upload from this computer").click();
  await dialog.locator('input[type="file"]').first().setInputFiles(readdirSync(MODEL_FOLDER).map((file) => join(MODEL_FOLDER, file)));
  await dialog.getByRole("button", { name: "Start import" }).click();
  await expect(page.getByRole("link", { name, exact: true })).toBeVisible({ timeout: 45_000 });
  await call(request, "DELETE", `/models/${name}`);
});

test("an upload goes on from any page and stands in the jobs tray", async ({ page, request }) => {
  const name = unique("tray");
  let open = () => {};
  const gate = new Promise<void>((resolve) => (open = resolve));
  await page.route("**/api/v1/uploads/*/files/**", async (route) => {
    await gate;
    await route.continue();
  });
  await page.goto("/models?import=1");
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name").fill(name);
  await dialog.getByLabel("Import method").click();
  await page.getByTitle("Upload from this computer").click();
  await dialog.locator('input[type="file"]').first().setInputFiles(readdirSync(MODEL_FOLDER).map((file) => join(MODEL_FOLDER, file)));
  await dialog.getByRole("button", { name: "Start import" }).click();
  await expect(dialog).toBeHidden();
  await page.getByRole("link", { name: "Services", exact: true }).first().click();
  await expect(page).toHaveURL(/\/services/);
  await page.getByTestId("jobs").click();
  const line = page.getByTestId("upload").filter({ hasText: name });
  await expect(line.getByRole("button", { name: "Stop upload" })).toBeVisible();
  await accessible(page);
  open();
  await expect(line).toBeHidden({ timeout: 30_000 });
  await page.locator(".ant-notification").filter({ hasText: name }).getByRole("button", { name: "Open" }).click({ timeout: 30_000 });
  await expect(page).toHaveURL(new RegExp(`/models/${name}$`));
  await call(request, "DELETE", `/models/${name}`);
});

test("a folder that is not there is told in words", async ({ page }) => {
  await page.goto("/models?import=1");
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Start import" }).click();
  await expect(dialog.getByText("This field is needed.").first()).toBeVisible();
  await dialog.getByLabel("Name").fill("Not A Name");
  await expect(dialog.getByText("Use lower-case letters")).toBeVisible();
  await dialog.getByLabel("Name").fill(unique("missing"));
  await dialog.getByLabel("Path").fill("/nowhere/at/all");
  await dialog.getByRole("button", { name: "Start import" }).click();
  await expect(page.locator(".ant-notification, [role=alert]").filter({ hasText: "/nowhere/at/all" }).first()).toBeVisible({ timeout: 20_000 });
});

test("the catalogue and the list keep their filters in the address", async ({ page, request }) => {
  await ensureModel(request);
  await page.goto("/models?tab=catalog&type=embedding");
  await expect(page.getByText("Embedding").first()).toBeVisible();
  // The badge says what the platform answers, word for word for a machine without other accelerators.
  const { items } = await call<{ items: { name: string; fit: { fits: boolean; vendor: string | null } }[] }>(request, "GET", "/catalog?type=embedding");
  const onProcessor = items.filter((item) => item.fit.fits && item.fit.vendor === "cpu").length;
  await expect(page.getByText(/^Runs on the processor/)).toHaveCount(onProcessor);
  await page.goto("/models?tab=catalog&search=qwen3-coder-480b");
  await expect(page.getByText("Recommended: long text")).toBeVisible();
  await page.goto("/models?tab=catalog&fit=no");
  await expect(page.getByText(/^Needs \d/).first()).toBeVisible();
  await expect(page.getByText(/^Runs on/)).toHaveCount(0);
  await page.goto(`/models?search=${MODEL}&view=cards`);
  await expect(page.getByRole("link", { name: MODEL, exact: true }).first()).toBeVisible();
  await page.goto("/models?search=nothing-has-this-name");
  await expect(page.getByText("Nothing matches")).toBeVisible();
});

test("what a model is described as can be changed, here or by a command", async ({ page, request }) => {
  const name = unique("edited");
  await call(request, "POST", "/models", { name });
  await page.goto(`/models/${name}`);
  await page.getByRole("button", { name: "More" }).first().click();
  await page.getByRole("menuitem", { name: "Edit" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Description").fill("For tests");
  await dialog.getByRole("button", { name: "As code" }).click();
  await expect(dialog.locator("pre").first()).toHaveText(`aicp model update ${name} --description 'For tests' --type chat --visibility public`);
  await accessible(page);
  await dialog.getByRole("tab", { name: "YAML" }).click();
  await expect(dialog.locator("pre").filter({ hasText: "kind: model" })).toContainText('description: "For tests"');
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(dialog).toBeHidden();
  await expect(page.getByText("For tests").first()).toBeVisible();
  await call(request, "DELETE", `/models/${name}`);
});

test("a version shows what it came from and what uses it; removing asks for the name", async ({ page, request }) => {
  const name = unique("lineage");
  await call(request, "POST", `/models/${name}/import`, { source: { kind: "directory", path: MODEL_FOLDER } });
  await expect.poll(async () => (await request.get(`/api/v1/models/${name}/versions/v1`)).status(), { timeout: 30_000 }).toBe(200);
  await call(request, "PUT", `/models/${name}/aliases/prod`, { version: "v1" });
  await page.goto(`/models/${name}`);
  const lineage = page.getByRole("group", { name: "Lineage" });
  await expect(lineage).toContainText(`${name}:v1`);
  await expect(lineage).toContainText("Imported from");
  await accessible(page);
  await page.getByRole("tab", { name: "Where it runs" }).click();
  await expect(page.getByText("No service uses this model")).toBeVisible();

  await page.getByRole("tab", { name: "Versions" }).click();
  await page.locator(".ant-tag").filter({ hasText: "prod" }).locator(".ant-tag-close-icon").click();
  const dialog = page.getByRole("dialog");
  await expect(dialog).toContainText("prod points at v1");
  await expect(dialog.getByRole("button", { name: "Delete" })).toBeDisabled();
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("row", { name: /v1/ }).getByRole("button", { name: "More" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await expect(dialog).toContainText("These aliases go with it: prod.");
  await dialog.getByRole("textbox").fill("v1");
  await dialog.getByRole("button", { name: "Delete" }).click();
  await expect(page.getByText("No versions yet")).toBeVisible();
  await call(request, "DELETE", `/models/${name}`);
});
