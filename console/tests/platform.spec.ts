import { expect, test } from "@playwright/test";
import { accessible, call, failing, recovers, unique } from "./platform";

const LISTS = [
  ["/platform/pools", "/pools"],
  ["/platform/nodes", "/nodes?*"],
  ["/platform/engines", "/engines"],
  ["/platform/users", "/users?*"],
  ["/platform/projects", "/projects?*"],
  ["/platform/prices", "/prices?*"],
  ["/platform/traffic", "/traffic"],
  ["/platform/usage", "/usage/summary?*"],
  ["/platform/requests", "/requests?*"],
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
  await page.getByRole("tab", { name: "Accelerators" }).click();
  await expect(page.locator(".list tbody tr").nth(1)).toBeVisible();
  await page.getByRole("button", { name: "Cordon" }).click();
  await expect(page.getByText("Cordoned", { exact: true })).toBeVisible();
  await page.getByRole("button", { name: "Uncordon" }).click();
  await expect(page.getByText("Ready", { exact: true }).first()).toBeVisible();
  await page.getByRole("tab", { name: "Events" }).click();
  await expect(page.getByText(/^\d+ of \d+$/)).toBeVisible();
});

test("engines tell their versions and parameters", async ({ page }) => {
  await page.goto("/platform/engines");
  await page.getByText(/Allowed parameters/).first().click();
  await expect(page.getByRole("columnheader", { name: "Parameter" })).toBeVisible();
  await page.getByRole("button", { name: "Install" }).first().click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByLabel("Version")).toBeVisible();
  await dialog.getByRole("button", { name: "As code" }).click();
  await expect(dialog.locator("pre").first()).toHaveText(/^aicp engine install \S+ \S+$/);
});

test("a user gets a password that is shown once; a name is given only once", async ({ page }) => {
  const name = unique("user");
  for (const attempt of [1, 2]) {
    await page.goto("/platform/users?create=1");
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("User name").fill(name);
    await dialog.getByRole("button", { name: "As code" }).click();
    await expect(dialog.locator("pre").first()).toHaveText(`aicp user create ${name}`);
    await dialog.getByRole("button", { name: "Create user" }).click();
    if (attempt === 1) {
      await expect(page.getByTestId("secret")).toHaveText(/\S{8,}/);
      await accessible(page);
    } else {
      await expect(dialog.locator(".ant-form-item-explain-error")).toContainText(name);
    }
  }
});

test("a project has members with roles; what removing them and it means is said first", async ({ page, request }) => {
  const [project, user] = [unique("project"), unique("member")];
  await call(request, "POST", "/users", { name: user });
  await page.goto("/platform/projects?create=1");
  await page.getByRole("dialog").getByLabel("Name").fill(project);
  await page.getByRole("dialog").getByRole("button", { name: "Create project" }).click();
  await page.goto(`/platform/projects/${project}`);
  await page.getByRole("button", { name: "Edit" }).click();
  await page.getByRole("dialog").getByLabel("Description").fill("For a test");
  await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
  await expect(page.locator(".head .sub")).toHaveText("For a test");
  await expect(page.getByRole("dialog")).toBeHidden(); // until then it takes the focus back
  await page.getByRole("combobox", { name: "User name" }).fill(user);
  await page.locator(".ant-select-item-option").filter({ hasText: user }).click();
  await page.getByRole("button", { name: "Add member" }).click();
  await expect(page.getByRole("row").filter({ hasText: user })).toContainText("Developer");
  await page.getByRole("button", { name: `Remove ${user}` }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog).toContainText("loses the role in this project");
  await expect(dialog.getByRole("button", { name: "Remove" })).toBeDisabled();
  await dialog.getByRole("textbox").fill(user);
  await dialog.getByRole("button", { name: "Remove" }).click();
  await expect(page.getByText("No members yet")).toBeVisible();
  await call(request, "POST", `/models`, { name: project, project });
  await page.reload();
  await page.getByRole("button", { name: "Delete" }).click();
  await expect(dialog).toContainText("1 model");
  await expect(dialog.getByRole("textbox")).toHaveCount(0);
  await call(request, "DELETE", `/models/${project}`);
  await page.reload();
  await page.getByRole("button", { name: "Delete" }).click();
  await dialog.getByRole("textbox").fill(project);
  await dialog.getByRole("button", { name: "Delete" }).click();
  await expect(page).toHaveURL(/\/platform\/projects$/);
});

test("the audit log tells what changed, and is narrowed in the address", async ({ page, request }) => {
  const name = unique("seen");
  await call(request, "POST", "/users", { name });
  await call(request, "PATCH", `/users/${name}`, { email: "seen@example.com" });
  await page.goto(`/platform/audit?kind=user&object=${name}`);
  await expect(page.locator(".list tbody tr.ant-table-row")).toHaveCount(2);
  await page.getByRole("row").filter({ hasText: "user.update" }).getByRole("button").first().click();
  await expect(page.locator(".diff ins")).toHaveText("+ seen@example.com".replace("seen@example.com", '"seen@example.com"'));
  await page.getByRole("combobox", { name: "Outcome" }).click();
  await page.locator(".ant-select-item-option").filter({ hasText: "Refused" }).click();
  await expect(page).toHaveURL(/outcome=refused/);
  await expect(page.getByText("Nothing matches")).toBeVisible();
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "CSV" }).click();
  expect((await download).suggestedFilename()).toBe("audit.csv");
});

test("a failed job is opened by its address, says why, and can be tried again", async ({ page, request }) => {
  const name = unique("broken");
  const source = { kind: "url", url: "http://127.0.0.1:9/nothing.tar.gz" };
  const { id } = await call<{ id: string }>(request, "POST", `/models/${name}/import`, { source });
  await expect.poll(async () => (await call<{ state: string }>(request, "GET", `/jobs/${id}`)).state, { timeout: 30_000 }).toBe("failed");
  await page.goto(`/platform/jobs?job=${id}`);
  const drawer = page.getByRole("dialog");
  await expect(drawer.getByRole("alert")).toBeVisible();
  await expect(drawer).toContainText(id);
  await accessible(page);
  await drawer.getByRole("button", { name: "Try again" }).click();
  await expect(page).not.toHaveURL(new RegExp(id));
  await expect(page).toHaveURL(/job=job_/);
});

test("a list that is longer than a page is paged by the platform", async ({ page, request }) => {
  const name = unique("many");
  for (let number = 0; number < 27; number += 1) await call(request, "POST", "/keys", { name: `${name}-${String(number).padStart(2, "0")}` });
  await page.goto(`/platform/keys?search=${name}&sort=name:asc`);
  await expect(page.getByText("27 entries")).toBeVisible();
  await expect(page.locator(".list tbody tr.ant-table-row")).toHaveCount(25);
  await page.getByRole("listitem", { name: "2" }).click();
  await expect(page).toHaveURL(/page=2/);
  await expect(page.getByText(`${name}-26`)).toBeVisible();
  await page.locator(".list thead").getByRole("checkbox").check();
  await page.getByRole("button", { name: "Revoke 2 keys" }).click();
  await page.getByRole("dialog").getByRole("textbox").fill("2");
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await expect(page.getByRole("row").filter({ hasText: "Revoked" })).toHaveCount(2);
});

test("a price is set, shown as code, changed and removed", async ({ page }) => {
  const model = unique("priced").toLowerCase();
  await page.goto("/platform/prices?create=1");
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Model").fill(model);
  await dialog.getByLabel("Model").press("Enter");
  await dialog.getByLabel("Input", { exact: true }).fill("0.5");
  await dialog.getByLabel("Output").fill("2");
  await dialog.getByRole("button", { name: "As code" }).click();
  await expect(dialog.locator("pre").first()).toHaveText(`aicp price set ${model} --input 0.5 --output 2`);
  await accessible(page);
  await dialog.getByRole("button", { name: "Save" }).click();
  const row = page.getByRole("row").filter({ hasText: model });
  await expect(row.getByText("0.5 USD")).toBeVisible();
  await page.getByRole("button", { name: `More ${model}` }).click();
  await page.getByRole("menuitem", { name: "Edit" }).click();
  await dialog.getByLabel("Output").fill("4");
  await dialog.getByRole("button", { name: "Save" }).click();
  await expect(row.getByText("4 USD")).toBeVisible();
  await page.getByRole("button", { name: `More ${model}` }).click();
  await page.getByRole("menuitem", { name: "Remove" }).click();
  await dialog.getByRole("textbox").fill(model);
  await dialog.getByRole("button", { name: "Remove" }).click();
  await expect(row).toHaveCount(0);
});

test("usage can be grouped and taken along", async ({ page }) => {
  await page.goto("/platform/usage?group=service&span=24h");
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "CSV" }).click();
  expect((await download).suggestedFilename()).toBe("usage.csv");
});
