import { expect, test } from "@playwright/test";
import { accessible, call, ensureService, SERVICE } from "./platform";

test("a project keeps bodies, and a request is found and read without its secrets", async ({ page, request }) => {
  test.setTimeout(240_000);
  await ensureService(request);
  await page.goto("/platform/projects/default?tab=requests");
  await page.getByRole("radio", { name: "of all requests" }).check();
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByText("Set by admin")).toBeVisible();
  await page.getByRole("button", { name: "As code" }).click();
  await expect(page.locator("pre").first()).toHaveText(/^aicp request-log set default --bodies all --redact secrets/);
  await accessible(page);

  const ask = { model: SERVICE, messages: [{ role: "user", content: "Write to ann@example.org" }], max_tokens: 4 };
  await expect
    .poll(
      async () => {
        await call(request, "POST", "/playground/v1/chat/completions?project=default", ask);
        return (await call<{ items: unknown[] }>(request, "GET", "/requests?with_body=true&limit=1")).items.length;
      },
      { timeout: 60_000, intervals: [1000] },
    )
    .toBe(1);

  await page.goto("/platform/requests?project=default&body=kept");
  await page.locator(".list tbody tr.link").first().click();
  const drawer = page.getByRole("dialog");
  await expect(drawer.getByText("HTTP status")).toBeVisible();
  await accessible(page);
  await drawer.getByRole("tab", { name: "Body" }).click();
  await drawer.getByRole("button", { name: "Read it" }).click();
  await expect(drawer.locator("mark").first()).toHaveText("[redacted:email]");
  await accessible(page);

  await page.goto("/platform/audit?kind=logged_request");
  await expect(page.getByText("request.read_body").first()).toBeVisible();
  await call(request, "DELETE", "/projects/default/request-log");
});
