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
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByText(`aicp publish ${MODEL} --name ${name} --context 512 --create-key`)).toBeVisible();
  await dialog.getByRole("tab", { name: "curl" }).click();
  await expect(dialog.getByText(/curl -X POST http.*\/api\/v1\/services/)).toBeVisible();
  await dialog.getByRole("tab", { name: "YAML" }).click();
  await expect(dialog.getByText("kind: service")).toBeVisible();
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
  await expect(page.locator(".ant-form-item-has-error", { has: page.getByLabel("Service name") })).toContainText("already");
});

test("a change is shown as command, request and document before it is rolled out", async ({ page, request }) => {
  test.setTimeout(240_000);
  await ensureService(request);
  await page.goto(`/services/${SERVICE}/edit`);
  await page.getByLabel("Users at once").fill("2");
  await page.getByText("Advanced").click();
  await page.getByLabel("Drain").fill("5");
  const plan = page.getByRole("complementary", { name: "What will run and why" });
  await expect(plan.getByRole("status")).toBeVisible();
  await plan.getByRole("button", { name: "As code" }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByText(`aicp service update ${SERVICE} --users 2 --drain-seconds 5`)).toBeVisible();
  await dialog.getByRole("tab", { name: "curl" }).click();
  await expect(dialog.getByText(new RegExp(`curl -X PATCH http.*/api/v1/services/${SERVICE} `))).toBeVisible();
  await dialog.getByRole("tab", { name: "YAML" }).click();
  await expect(dialog.getByText("drain_seconds: 5.0")).toBeVisible();
});

test("priority and making room go from the form to the command, the service and its next change", async ({ page, request }) => {
  await ensureModel(request);
  const name = unique("room");
  await page.goto(`/services/new?model=${MODEL}`);
  await page.getByLabel("Service name").fill(name);
  await page.getByLabel("Replicas", { exact: true }).fill("0");
  await page.getByText("Advanced").click();
  await page.getByLabel("Priority").fill("-5");
  await page.getByRole("switch", { name: "Makes room" }).click();
  const plan = page.getByRole("complementary", { name: "What will run and why" });
  await expect(plan.getByRole("status")).toBeVisible();
  await plan.getByRole("button", { name: "As code" }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByText(`aicp publish ${MODEL} --name ${name} --replicas 0 --priority -5 --preemptible --create-key`)).toBeVisible();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Publish", exact: true }).click();
  await expect(page.getByRole("heading", { level: 1, name: `${name} is published` })).toBeVisible();
  await page.goto(`/services/${name}`);
  await expect(page.locator(".lines > div").filter({ hasText: /^Priority/ })).toHaveText(/-5\s*Makes room/);
  await page.goto(`/services/${name}/edit`);
  await page.getByText("Advanced").click();
  await expect(page.getByLabel("Priority")).toHaveValue("-5");
  await page.getByRole("switch", { name: "Makes room" }).click();
  await plan.getByRole("button", { name: "As code" }).click();
  await expect(dialog.getByText(`aicp service update ${name} --not-preemptible`)).toBeVisible();
  await call(request, "DELETE", `/services/${name}`);
});

test("what would make room is named before anything is stopped", async ({ page, request }) => {
  await ensureModel(request);
  await page.route("**/api/v1/services/plan", async (route) => {
    const answer = await route.fetch();
    const preempts = [{ replica: "rep_night", service: "night", project: "default", node: "gpu-1", priority: -2 }, { replica: null, service: null, project: null, node: null, priority: 0 }];
    await route.fulfill({ response: answer, json: { ...((await answer.json()) as object), preempts } });
  });
  await page.goto(`/services/new?model=${MODEL}`);
  const note = page.getByRole("note");
  await expect(note).toContainText("2 replicas stop for it, and come back when there is room");
  await expect(note.getByRole("link", { name: "night" })).toHaveAttribute("href", "/services/night");
  await expect(note).toContainText("a replica of another project · Priority 0");
  await accessible(page);
});

test("a private model is published in its own project, for that project only; one click turns a parameter off", async ({ page, request }) => {
  await ensureModel(request);
  const { items } = await call<{ items: { name: string }[] }>(request, "GET", `/models?search=${MODEL}&limit=500`);
  await page.route("**/api/v1/models?*", async (route) => {
    const answer = await route.fetch();
    const body = (await answer.json()) as { items: { name: string; visibility: string }[] };
    for (const model of body.items) if (model.name === MODEL) model.visibility = "project";
    await route.fulfill({ response: answer, json: body });
  });
  expect(items.some(({ name }) => name === MODEL)).toBe(true);
  await page.goto(`/services/new?model=${MODEL}`);
  await expect(page.getByText(`${MODEL} is private to project default`)).toBeVisible();
  await page.getByText("Advanced").click();
  await expect(page.getByText("only that project may call the service")).toBeVisible();
  await page.getByText("Custom", { exact: true }).click();
  await page.getByLabel("Engine", { exact: true }).click();
  await page.getByTitle("vLLM", { exact: true }).click();
  await page.getByRole("button", { name: "Add parameter" }).click();
  await page.getByLabel("Parameter", { exact: true }).click();
  await page.getByTitle("keep the cache of shared prompt beginnings").click();
  const flag = page.getByRole("switch", { name: "enable_prefix_caching" });
  await expect(flag).toBeChecked();
  await flag.click();
  await expect(flag).not.toBeChecked();
});

test.describe("on a tablet", () => {
  test.use({ viewport: { width: 820, height: 1180 } });
  test("no page of services scrolls sideways", async ({ page, request }) => {
    test.setTimeout(240_000);
    await ensureService(request);
    for (const path of ["/services", `/services/new?model=${MODEL}`, `/services/${SERVICE}/edit`, ...["summary", "replicas", "logs", "metrics", "revisions", "samples", "events", "yaml"].map((tab) => `/services/${SERVICE}?tab=${tab}`)]) {
      await page.goto(path);
      await expect(page.locator("h1").first()).toBeVisible();
      await expect(page.locator(".ant-skeleton")).toHaveCount(0);
      const wide = await page.evaluate(() => [document.documentElement, ...document.querySelectorAll(".main, .page")].filter((element) => element.scrollWidth > element.clientWidth + 1).map((element) => `${element.className} ${element.scrollWidth} > ${element.clientWidth}`));
      expect(wide, path).toEqual([]);
    }
  });
});
