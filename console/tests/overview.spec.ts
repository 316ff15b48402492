import { expect, test } from "@playwright/test";
import { accessible, failing, recovers } from "./platform";

test("shows what runs and leads to it", async ({ page }) => {
  await page.goto("/");
  await expect(page).toHaveURL(/\/overview$/);
  for (const label of ["Accelerators in use", "Memory in use", "Requests", "Error rate"]) await expect(page.getByText(label, { exact: true }).first()).toBeVisible();
  const node = page.locator(".poolmap a").first();
  await expect(node).toBeVisible();
  await accessible(page);
  await node.click();
  await expect(page).toHaveURL(/\/platform\/nodes\//);
});

test("an error names its request and can be tried again", async ({ page }) => {
  await failing(page, "/overview");
  await page.goto("/overview");
  await recovers(page, "/overview");
  await expect(page.getByText("Accelerators in use")).toBeVisible();
});

test("Ctrl-K finds a page by its name", async ({ page }) => {
  await page.goto("/overview");
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  await page.keyboard.press("Control+k");
  await page.getByRole("textbox", { name: /^Search models/ }).fill("audit");
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/platform\/audit/);
});
