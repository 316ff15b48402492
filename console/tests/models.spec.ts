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
  await page.goto(`/models?search=${MODEL}&view=cards`);
  await expect(page.getByRole("link", { name: MODEL, exact: true }).first()).toBeVisible();
  await page.goto("/models?search=nothing-has-this-name");
  await expect(page.getByText("Nothing matches")).toBeVisible();
});
