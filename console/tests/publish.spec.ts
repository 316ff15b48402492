import { expect, test } from "@playwright/test";
import { accessible, call, ensureModel, ensureService, MODEL, ready, SERVICE, unique } from "./platform";

test("publishes a model, explained beforehand, with a key of its own", async ({ page, request }) => {
  test.setTimeout(240_000);
  await ensureModel(request);
  const name = unique("publish");
  await page.goto(`/services/new?model=${MODEL}`);
  const plan = page.getByRole("complementary", { name: "What will run and why" });
  await expect(plan.getByRole("status")).toBeVisible();
  await plan.getByRole("tab", { name: "Why" }).click();
  await expect(plan.getByText("max_model_len")).toBeVisible();
  await page.getByLabel("Context length").fill("512");
  await expect(plan.getByText("512").first()).toBeVisible();
  await page.getByLabel("Service name").fill(name);
  await plan.getByRole("button", { name: "As code" }).click();
  await expect(page.getByRole("dialog").getByText("aicp publish")).toBeVisible();
  await page.keyboard.press("Escape");
  await accessible(page);
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await expect(page.getByRole("heading", { level: 1, name: `${name} is published` })).toBeVisible();
  await expect(page.getByTestId("secret")).toHaveText(/^sk-/);
  await expect(page.getByText("Ready", { exact: true }).first()).toBeVisible({ timeout: 180_000 });
  await ready(request, name);
  await call(request, "DELETE", `/services/${name}`);
});

test("a name that is taken and a model that does not fit are told before anything happens", async ({ page, request }) => {
  test.setTimeout(240_000);
  await ensureService(request);
  await page.goto(`/services/new?model=${MODEL}`);
  const plan = page.getByRole("complementary", { name: "What will run and why" });
  await expect(plan.getByRole("status")).toBeVisible();
  await page.getByLabel("Users at once").fill("100000");
  await expect(plan.locator(".verdict.bad, [role=alert]").first()).toBeVisible();
  await page.getByLabel("Users at once").fill("");
  await page.getByLabel("Service name").fill(SERVICE);
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await expect(page.getByRole("alert").filter({ hasText: SERVICE }).first()).toBeVisible();
});
