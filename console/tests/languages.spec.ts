import { expect, test, type Page } from "@playwright/test";
import { call, ensureService, MODEL, SERVICE, unique } from "./platform";

/** Four Latin words in a row, beside code: so does only an English sentence look. */
const ENGLISH = /(?:\b[A-Za-z][a-z']+[,;:]? ){3,}[A-Za-z][a-z']+\b/g;

test.beforeEach(async ({ page, request }) => {
  test.setTimeout(240_000);
  await ensureService(request);
  await page.addInitScript(() => localStorage.setItem("aicp.language", "zh-TW"));
});

async function english(page: Page): Promise<string[]> {
  const text = await page.evaluate(() => {
    const shown = document.querySelector("main, .main, body")?.cloneNode(true) as HTMLElement;
    shown.querySelectorAll("pre, code, textarea, .mono").forEach((element) => element.remove());
    const walker = document.createTreeWalker(shown, NodeFilter.SHOW_TEXT);
    const lines: string[] = [];
    while (walker.nextNode()) lines.push(walker.currentNode.textContent ?? "");
    return lines.join("\n");
  });
  return text.match(ENGLISH) ?? [];
}

test("in Chinese the plan of a publish says no English sentence, whether it fits or not", async ({ page }) => {
  await page.goto(`/services/new?model=${MODEL}`);
  const verdict = page.locator(".verdict");
  await expect(verdict).toContainText("可以放下");
  for (const tab of ["記憶體", "選擇理由"]) {
    await page.getByRole("tab", { name: tab }).first().click();
    expect(await english(page), tab).toEqual([]);
  }
  await page.getByLabel("同時使用者數").fill("100000");
  await expect(page.locator(".verdict.bad, [role=alert]").first()).toBeVisible();
  expect(await english(page)).toEqual([]);
});

test("in Chinese a name that is taken is told in Chinese", async ({ page }) => {
  await page.goto(`/services/new?model=${MODEL}`);
  await expect(page.locator(".verdict")).toBeVisible();
  await page.getByLabel("服務名稱").fill(SERVICE);
  await page.getByRole("button", { name: "一鍵發佈", exact: true }).click();
  await expect(page.getByRole("alert").filter({ hasText: `已有服務「${SERVICE}」` }).first()).toBeVisible();
});

test("in Chinese a service, its replicas and events say no English sentence", async ({ page, request }) => {
  const name = unique("waiting");
  await call(request, "POST", "/services", { name, spec: { model: MODEL, replicas: 0 } });
  for (const path of [`/services/${SERVICE}`, `/services/${SERVICE}?tab=events`, `/services/${name}`, `/services/${name}?tab=events`, "/services", "/platform/audit", "/platform/jobs", "/platform/engines"]) {
    await page.goto(path);
    await expect(page.locator("h1")).toBeVisible();
    await expect(page.locator(".ant-skeleton")).toHaveCount(0);
    expect(await english(page), path).toEqual([]);
  }
  await call(request, "DELETE", `/services/${name}`);
});
