import { expect, test, type APIRequestContext, type ConsoleMessage, type Page } from "@playwright/test";
import { PAGES } from "../src/app/pages";
import { call, ensureRoute, ensureService, MODEL, SERVICE, violations } from "./platform";

/** What stands for the parameters of an address: a page under another prefix must say what it is seen with. */
async function samples(request: APIRequestContext): Promise<Record<string, string>> {
  const first = async (path: string) => (await call<{ items: { id: string; name: string }[] }>(request, "GET", `${path}?limit=1`)).items[0];
  return { "models/": MODEL, "services/": SERVICE, "platform/projects/": "default", "platform/pools/": "default", "platform/users/": (await first("/users"))?.name ?? "", "platform/nodes/": (await first("/nodes"))?.id ?? "" };
}

/** What a page shows only when asked in its address, beside its tabs. */
const ASKED = [
  "/models?view=cards",
  `/services/new?model=${MODEL}`,
  "/platform/keys?create=1",
  "/platform/batches?create=1",
  "/platform/users?create=1",
  "/platform/projects?create=1",
  "/platform/pools?create=1",
  "/platform/audit?kind=key&outcome=done&since=2020-01-01T00:00:00.000Z",
  "/platform/prices?create=1",
  "/platform/cache?create=1",
  "/platform/routes?create=1",
  "/platform/providers?create=1",
  "/platform/usage?group=key&span=24h",
  "/platform/usage?group=tag&span=24h",
  "/platform/traffic?by=class",
  "/platform/requests?outcome=ok&body=kept&since=2020-01-01T00:00:00.000Z",
  "/platform/projects/default?tab=requests",
];
const OUTSIDE = ["/password", "/there-is-no-such-page"];

/** Every address of the router, its parameters filled in. */
async function addresses(request: APIRequestContext): Promise<string[]> {
  const known = await samples(request);
  const filled = Object.keys(PAGES).map((path) => {
    const address = `/${path.replace(/:\w+/, () => known[path.slice(0, path.indexOf(":"))] ?? ":unknown")}`;
    expect(address, `routes.spec.ts must say what ${path} is seen with`).not.toContain(":");
    return address;
  });
  const { items } = await call<{ items: { id: string }[] }>(request, "GET", "/jobs?limit=1");
  return [...filled, ...ASKED, ...items.map((job) => `/platform/jobs?job=${job.id}`), ...OUTSIDE];
}

const WIDTHS = [820, 1280];
const SIZE = { width: 1280, height: 800 };

async function scrollsSideways(page: Page): Promise<boolean> {
  return page.evaluate(() => [document.documentElement, ...document.querySelectorAll(".main, .page")].some((element) => element.scrollWidth > element.clientWidth + 1));
}

/** What is wrong with what is shown now. */
async function wrong(page: Page, look: () => Promise<string[]>): Promise<string[]> {
  await expect(page.locator(".ant-skeleton")).toHaveCount(0);
  const found: string[] = [];
  for (const width of WIDTHS) {
    await page.setViewportSize({ ...SIZE, width });
    if (await scrollsSideways(page)) found.push(`scrolls sideways at ${width}`);
  }
  const text = await page.locator("body").innerText();
  found.push(...(text.match(/\b[a-z]+\.[a-z][a-z]+[A-Z]\w*\b|{{\w+}}/g) ?? []).map((key) => `an untranslated key: ${key}`));
  return [...found, ...(await look())];
}

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
  for (const address of await addresses(page.request)) {
    route = address;
    await page.goto(address);
    await expect(page.locator("h1, .empty h3").first()).toBeVisible();
    expect(await page.locator("html").getAttribute("lang"), route).toBe(language);
    heard.push(...(await wrong(page, look)).map((what) => `${route}: ${what}`));
    // The tabs of the page itself, not those inside of one.
    const tabs = page.locator(".page > .ant-tabs > .ant-tabs-nav [role=tab]");
    for (let index = 1; index < (await tabs.count()); index += 1) {
      const tab = tabs.nth(index);
      route = `${address} > ${await tab.innerText()}`;
      await tab.click();
      await expect(tab).toHaveAttribute("aria-selected", "true");
      heard.push(...(await wrong(page, look)).map((what) => `${route}: ${what}`));
    }
  }
  expect(heard).toEqual([]);
}

// A trace of a walk through everything costs more than the walk.
test.use({ trace: "off" });

test.beforeAll(async ({ browser }) => {
  test.setTimeout(240_000);
  const context = await browser.newContext({ storageState: "test-results/session.json" });
  await ensureService(context.request);
  await ensureRoute(context.request);
  await context.close();
});

test.describe("every route and tab, on a desktop and a tablet: no console error, no untranslated key, no sideways scroll", () => {
  test.beforeEach(() => test.setTimeout(600_000));
  test("English, light, accessible", ({ page }) => walk(page, "en", "light", () => violations(page)));
  test("English, dark, accessible", ({ page }) => walk(page, "en", "dark", () => violations(page)));
  test("Traditional Chinese", ({ page }) => walk(page, "zh-TW", "dark", () => Promise.resolve([])));
  test("Simplified Chinese", ({ page }) => walk(page, "zh-CN", "light", () => Promise.resolve([])));
});
