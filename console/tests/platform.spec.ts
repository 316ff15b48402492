import { expect, test } from "@playwright/test";
import { accessible, call, failing, recovers, unique } from "./platform";

const LISTS = [
  ["/platform/nodes", "/nodes?*"],
  ["/platform/engines", "/engines"],
  ["/platform/users", "/users?*"],
  ["/platform/projects", "/projects?*"],
  ["/platform/usage", "/usage/summary?*"],
  ["/platform/audit", "/audit?*"],
  ["/platform/jobs", "/jobs?offset*"],
] as const;

for (const [address, path] of LISTS) {
  test(`${address}: an error names its request and can be tried again`, async ({ page }) => {
    await failing(page, path);
    await page.goto(address);
    await recovers(page, path);
  });
}

test("a node shows its accelerators and can be cordoned", async ({ page }) => {
  await page.goto("/platform/nodes");
  await page.locator(".list a.name").first().click();
  await expect(page.getByRole("tab", { name: "Accelerators" })).toBeVisible();
  await expect(page.locator(".list tbody tr").nth(1)).toBeVisible();
  await page.getByRole("button", { name: "Cordon" }).click();
  await expect(page.getByText("Cordoned", { exact: true })).toBeVisible();
  await page.getByRole("button", { name: "Uncordon" }).click();
  await expect(page.getByText("Ready", { exact: true }).first()).toBeVisible();
});

test("engines tell their versions and parameters", async ({ page }) => {
  await page.goto("/platform/engines");
  await page.getByText(/Allowed parameters/).first().click();
  await expect(page.getByRole("columnheader", { name: "Parameter" })).toBeVisible();
  await page.getByRole("button", { name: "Install" }).first().click();
  await expect(page.getByRole("dialog").getByLabel("Version")).toBeVisible();
});

test("a user gets a password that is shown once; a name is given only once", async ({ page }) => {
  const name = unique("user");
  for (const attempt of [1, 2]) {
    await page.goto("/platform/users?create=1");
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("User name").fill(name);
    await dialog.getByRole("button", { name: "Create user" }).click();
    if (attempt === 1) {
      await expect(page.getByTestId("secret")).toHaveText(/\S{8,}/);
      await accessible(page);
    } else {
      await expect(page.locator(".ant-message")).toContainText(name);
    }
  }
});

test("a project has members with roles", async ({ page, request }) => {
  const [project, user] = [unique("project"), unique("member")];
  await call(request, "POST", "/users", { name: user });
  await page.goto("/platform/projects?create=1");
  await page.getByRole("dialog").getByLabel("Name").fill(project);
  await page.getByRole("dialog").getByRole("button", { name: "Create project" }).click();
  await page.getByRole("link", { name: project }).click();
  await page.getByRole("combobox", { name: "User name" }).fill(user);
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Add member" }).click();
  await expect(page.getByRole("row").filter({ hasText: user })).toContainText("Developer");
  await page.getByRole("row").filter({ hasText: user }).getByRole("button", { name: "Remove" }).click();
  await expect(page.getByText("No members yet")).toBeVisible();
  await call(request, "DELETE", `/projects/${project}`);
});

test("the audit log tells of what was just done, and jobs keep their results", async ({ page, request }) => {
  const name = unique("seen");
  await call(request, "POST", "/users", { name });
  await page.goto(`/platform/audit?search=${name}`);
  await expect(page.getByRole("row").filter({ hasText: "user.create" })).toContainText(name);
  await page.goto("/platform/jobs?state=succeeded");
  await expect(page.getByText("Done", { exact: true }).first().or(page.getByText("Nothing matches"))).toBeVisible();
});

test("usage can be grouped and taken along", async ({ page }) => {
  await page.goto("/platform/usage?group=service&span=24h");
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "CSV" }).click();
  expect((await download).suggestedFilename()).toBe("usage.csv");
});
