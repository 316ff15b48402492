import { expect, test, type ConsoleMessage, type Page } from "@playwright/test";
import { call, ensureService, MODEL, SERVICE, violations } from "./platform";

const ROUTES = [
  "/overview",
  "/models",
  "/models?view=cards",
  "/models?tab=catalog",
  `/models/${MODEL}`,
  `/models/${MODEL}?tab=versions`,
  `/models/${MODEL}?tab=files`,
  `/models/${MODEL}?tab=memory`,
  `/models/${MODEL}?tab=events`,
  "/services",
  `/services/new?model=${MODEL}`,
  `/services/${SERVICE}`,
  `/services/${SERVICE}/edit`,
  `/services/${SERVICE}?tab=replicas`,
  `/services/${SERVICE}?tab=logs`,
  `/services/${SERVICE}?tab=metrics`,
  `/services/${SERVICE}?tab=revisions`,
  `/services/${SERVICE}?tab=samples`,
  `/services/${SERVICE}?tab=events`,
  `/services/${SERVICE}?tab=yaml`,
  "/playground",
  "/playground?tab=compare",
  "/playground?tab=embeddings",
  "/playground?tab=rerank",
  "/platform/nodes",
  "/platform/engines",
  "/platform/keys",
  "/platform/keys?create=1",
  "/platform/usage",
  "/platform/users",
  "/platform/projects",
  "/platform/projects/default",
  "/platform/audit",
  "/platform/jobs",
  "/password",
  "/there-is-no-such-page",
];

async function walk(page: Page, language: string, theme: string, look: () => Promise<string[]>): Promise<void> {
  const heard: string[] = [];
  let route = "";
  page.on("console", (message: ConsoleMessage) => {
    if (message.type() === "error" || message.type() === "warning") heard.push(`${route}: ${message.text()}`);
  });
  page.on("pageerror", (error) => heard.push(`${route}: ${error.message}`));
  await page.goto("/overview");
  await page.locator("h1").waitFor();
  await page.evaluate(([tongue, look]) => {
    localStorage.setItem("aicp.language", tongue ?? "");
    localStorage.setItem("aicp.theme", look ?? "");
  }, [language, theme]);
  const { items } = await call<{ items: { id: string }[] }>(page.request, "GET", "/nodes");
  for (route of [...ROUTES, ...items.slice(0, 1).flatMap((node) => [`/platform/nodes/${node.id}`, `/platform/nodes/${node.id}?tab=charts`])]) {
    await page.goto(route);
    await expect(page.locator("h1, .empty h3").first()).toBeVisible();
    await expect(page.locator(".ant-skeleton")).toHaveCount(0);
    expect(await page.locator("html").getAttribute("lang"), route).toBe(language);
    const wide = await page.evaluate(() => [document.documentElement, ...document.querySelectorAll(".main, .page")].some((element) => element.scrollWidth > element.clientWidth + 1));
    expect(wide, `${route} scrolls sideways`).toBe(false);
    const text = await page.locator("body").innerText();
    expect(text.match(/\b[a-z]+\.[a-z][a-z]+[A-Z]\w*\b|{{\w+}}/g) ?? [], `${route}: an untranslated key`).toEqual([]);
    heard.push(...(await look()).map((violation) => `${route}: ${violation}`));
  }
  expect(heard).toEqual([]);
}

// A trace of a walk through everything costs more than the walk.
test.use({ trace: "off" });

test.beforeAll(async ({ browser }) => {
  test.setTimeout(240_000);
  const context = await browser.newContext({ storageState: "test-results/session.json" });
  await ensureService(context.request);
  await context.close();
});

test.describe("every route, 1280 wide: no console error, no untranslated key, no sideways scroll", () => {
  test.beforeEach(() => test.setTimeout(600_000));
  test("English, light, accessible", ({ page }) => walk(page, "en", "light", () => violations(page)));
  test("English, dark, accessible", ({ page }) => walk(page, "en", "dark", () => violations(page)));
  test("Traditional Chinese", ({ page }) => walk(page, "zh-TW", "dark", () => Promise.resolve([])));
  test("Simplified Chinese", ({ page }) => walk(page, "zh-CN", "light", () => Promise.resolve([])));
});
