import AxeBuilder from "@axe-core/playwright";
import { expect, type APIRequestContext, type Page } from "@playwright/test";
import { resolve } from "node:path";

export const SESSION = "test-results/session.json";
/** A folder on the platform's machine with a small chat model. */
export const MODEL_FOLDER = resolve(process.env.AICP_CONSOLE_MODEL_DIR ?? "../demo/model");
export const MODEL = process.env.AICP_CONSOLE_MODEL ?? "console-demo";
export const SERVICE = process.env.AICP_CONSOLE_SERVICE ?? "console-demo";

const CHANGE = { "X-AICP-Request": "1" };

export const unique = (name: string): string => `${name}-${Date.now().toString(36)}`;

export async function call<T>(request: APIRequestContext, method: string, path: string, data?: unknown): Promise<T> {
  const response = await request.fetch(`/api/v1${path}`, { method, data, headers: CHANGE });
  expect(response.ok(), `${method} ${path}: ${await response.text()}`).toBeTruthy();
  return (response.status() === 204 ? undefined : await response.json()) as T;
}

/** A model to look at: imported when it is not there yet. */
export async function ensureModel(request: APIRequestContext): Promise<void> {
  const known = await request.get(`/api/v1/models/${MODEL}`);
  if (known.ok() && ((await known.json()) as { versions: number }).versions > 0) return;
  await call(request, "POST", `/models/${MODEL}/import`, { source: { kind: "directory", path: MODEL_FOLDER }, description: "For the tests of the console" });
  await expect.poll(async () => (await request.get(`/api/v1/models/${MODEL}/versions/v1`)).status(), { timeout: 30_000 }).toBe(200);
}

/** A service that answers: published when it is not there yet. */
export async function ensureService(request: APIRequestContext): Promise<void> {
  await ensureModel(request);
  const known = await request.get(`/api/v1/services/${SERVICE}`);
  if (!known.ok()) await call(request, "POST", "/services", { name: SERVICE, spec: { model: MODEL } });
  await ready(request, SERVICE);
}

/** A route with a price and a cache rule, to look at. */
export async function ensureRoute(request: APIRequestContext): Promise<void> {
  const name = `${SERVICE}-route`;
  const known = await request.get(`/api/v1/routes/${name}`);
  if (!known.ok()) await call(request, "POST", "/routes", { name, arms: [{ service: SERVICE, weight: 1 }] });
  await call(request, "PUT", `/prices/${name}`, { input: 1.5, output: 6 });
  await call(request, "PUT", `/cache-rules/default/${name}`, { ttl_seconds: 60, mode: "measure" });
}

export async function ready(request: APIRequestContext, name: string): Promise<void> {
  await expect.poll(async () => (await call<{ state: string }>(request, "GET", `/services/${name}`)).state, { timeout: 180_000, intervals: [1000] }).toBe("ready");
}

/** No serious violation of the accessibility rules. */
export async function accessible(page: Page): Promise<void> {
  expect(await violations(page)).toEqual([]);
}

export async function violations(page: Page): Promise<string[]> {
  const found = await new AxeBuilder({ page }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]).analyze();
  const serious = found.violations.filter((violation) => violation.impact === "serious" || violation.impact === "critical");
  return serious.map((violation) => `${violation.id}: ${violation.nodes.map((node) => `${node.target.join(" ")} ${node.any[0]?.message ?? ""}`).slice(0, 4).join(" | ")}`);
}

/** Answers a request of the page with an error, as the platform words it. */
export async function failing(page: Page, path: string, status = 503): Promise<void> {
  const body = { error: { code: "unavailable", message: "The store does not answer.", hint: "Wait a moment.", details: {}, request_id: "req-for-the-test" } };
  await page.route(`**/api/v1${path}`, (route) => route.fulfill({ status, json: body }));
}

/** The page says what went wrong, with the request id, and goes on once the platform answers again. */
export async function recovers(page: Page, path: string): Promise<void> {
  const problem = page.getByRole("alert").filter({ hasText: "The store does not answer." }).first();
  await expect(problem).toBeVisible({ timeout: 20_000 });
  await expect(problem).toContainText("req-for-the-test");
  const again = problem.getByRole("button", { name: "Try again" });
  const asked = page.waitForRequest(`**/api/v1${path}`);
  await again.click();
  await asked;
  await page.unroute(`**/api/v1${path}`);
  // the page also asks by itself now and then, and may be quicker than the click
  await expect(async () => {
    if (await problem.isVisible()) await again.click({ timeout: 1_000 });
    await expect(problem).toBeHidden({ timeout: 1_000 });
  }).toPass();
}
