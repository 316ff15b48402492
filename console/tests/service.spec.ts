import { expect, test } from "@playwright/test";
import { accessible, call, ensureService, failing, MODEL, recovers, SERVICE, unique } from "./platform";

test.beforeEach(async ({ request }) => {
  test.setTimeout(240_000);
  await ensureService(request);
});

test("a service shows its replicas, log, changes and code", async ({ page }) => {
  await page.goto("/services");
  await page.getByRole("link", { name: SERVICE, exact: true }).first().click();
  await expect(page.getByText("1 of 1 ready")).toBeVisible();
  await expect(page.getByText("Compute per replica")).toBeVisible();
  await expect(page.getByText("Memory of one replica")).toBeVisible();
  await expect(page.getByText("max_model_len", { exact: true })).toBeVisible();
  await expect(page.getByText(/by admin · generation 1/)).toBeVisible();
  await accessible(page);
  await page.getByRole("tab", { name: "Replicas" }).click();
  await page.getByRole("button", { name: "Log", exact: true }).first().click();
  const log = page.getByRole("log", { name: "Logs" });
  await expect(log.locator("div").nth(3)).toBeVisible();
  await page.getByRole("searchbox", { name: "Search the log" }).fill("no line says this");
  await expect(log).toContainText("No lines yet");
  await page.getByRole("tab", { name: "Changes" }).click();
  await page.getByRole("button", { name: "Expand row" }).first().click();
  await expect(page.getByText("replicas: 1")).toBeVisible();
  await page.getByRole("tab", { name: "Code samples" }).click();
  await expect(page.getByText(/curl http/)).toBeVisible();
  await page.getByRole("tab", { name: "YAML" }).click();
  await expect(page.getByText("kind: Service")).toBeVisible();
  await page.getByRole("tab", { name: "Metrics" }).click();
  await expect(page.getByText("How many requests per second?")).toBeVisible();
});

test("stop asks first, and delete asks for the name", async ({ page, request }) => {
  const name = unique("stopped");
  await call(request, "POST", "/services", { name, spec: { model: MODEL, replicas: 0 } });
  await page.goto(`/services/${name}`);
  await page.getByRole("button", { name: "More" }).click();
  await page.getByRole("menuitem", { name: "Stop" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Stop" }).click();
  await expect(page.getByText("Stopped", { exact: true }).first()).toBeVisible();
  await page.getByRole("button", { name: "More" }).click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  const dialog = page.getByRole("dialog", { name: `Delete service ${name}` });
  await dialog.getByRole("textbox").fill("another name");
  await expect(dialog.getByRole("button", { name: "Delete" })).toBeDisabled();
  await dialog.getByRole("textbox").fill(name);
  await dialog.getByRole("button", { name: "Delete" }).click();
  await expect(page).toHaveURL(/\/services$/);
});

test("many services are searched, sorted and paged by the platform", async ({ page, request }) => {
  const batch = unique("page");
  const names = Array.from({ length: 27 }, (_, at) => `${batch}-${String(at).padStart(2, "0")}`);
  for (const name of names) await call(request, "POST", "/services", { name, spec: { model: MODEL, replicas: 0 } });
  await page.goto(`/services?search=${batch}&sort=name:desc`);
  await expect(page.getByText("27 entries")).toBeVisible();
  await expect(page.getByRole("link", { name: `${batch}-26` })).toBeVisible();
  await page.getByTitle("2", { exact: true }).click();
  await expect(page).toHaveURL(/page=2/);
  await page.reload();
  await expect(page.getByRole("link", { name: `${batch}-01` })).toBeVisible();
  await expect(page.getByRole("link", { name: `${batch}-02` })).toHaveCount(0);
  await page.goto(`/services?search=${batch}`);
  await page.getByRole("checkbox").first().check();
  await page.getByRole("button", { name: "Delete" }).click();
  const dialog = page.getByRole("dialog", { name: "Delete 25 services" });
  await expect(dialog.getByRole("button", { name: "Delete" })).toBeDisabled();
  await dialog.getByRole("textbox").fill("25");
  await dialog.getByRole("button", { name: "Delete" }).click();
  await expect(page.getByText("2 entries")).toBeVisible({ timeout: 30_000 });
  for (const name of names.slice(25)) await call(request, "DELETE", `/services/${name}`);
});

test("an error names its request and can be tried again", async ({ page }) => {
  await failing(page, `/services/${SERVICE}`);
  await page.goto(`/services/${SERVICE}`);
  await recovers(page, `/services/${SERVICE}`);
  await page.goto("/services/there-is-none");
  await expect(page.getByRole("alert")).toBeVisible();
});
