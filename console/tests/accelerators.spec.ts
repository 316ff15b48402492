import { expect, test } from "@playwright/test";
import { accessible, failing, recovers } from "./platform";

test("an answer that changes with the question, every card drawn", async ({ page }) => {
  await page.goto("/platform/accelerators");
  const slow = page.getByRole("region", { name: "NVIDIA L20 48GB" });
  await expect(slow.getByText("3 whole or 2 sliced")).toBeVisible();
  await expect(slow.getByText("rerank 1: 50 %, 4 GiB")).toBeVisible();
  await expect(page.getByRole("region", { name: "NVIDIA GeForce RTX 4090 D 24GB" }).getByText("3 whole or 1 sliced")).toBeVisible();
  await page.getByRole("button", { name: "Remove rerank" }).click();
  await expect(slow.getByText("2 whole or 1 sliced")).toBeVisible();
  await accessible(page);
});

test("the catalogue names the source of every figure", async ({ page }) => {
  await page.goto("/platform/accelerators?search=L20");
  await page.getByRole("button", { name: "Expand row" }).first().click();
  await expect(page.getByText(/LLM-Prof/).first()).toBeVisible();
  await expect(page.getByText(/^derived: /)).toBeVisible();
});

test("an error names its request and can be tried again", async ({ page }) => {
  await failing(page, "/accelerator-catalog?*");
  await page.goto("/platform/accelerators");
  await recovers(page, "/accelerator-catalog?*");
});
