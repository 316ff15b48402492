import { expect, test } from "@playwright/test";
import { accessible, unique } from "./platform";

test("a key is shown once, and revoked by its name", async ({ page }) => {
  const name = unique("key");
  await page.goto("/platform/keys");
  await page.getByRole("button", { name: "Create key" }).first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Create key" }).click();
  await expect(dialog.getByText("This field is needed.")).toBeVisible();
  await dialog.getByLabel("Name").fill(name);
  await dialog.getByRole("button", { name: "As code" }).click();
  await expect(dialog.locator("pre").first()).toHaveText(`aicp key create ${name} --project default`);
  await dialog.getByRole("button", { name: "Create key" }).click();
  const secret = await page.getByTestId("secret").innerText();
  expect(secret).toMatch(/^sk-[0-9a-z]{16}-\w{43}-[0-9a-f]{8}$/);
  await accessible(page);
  await dialog.getByRole("button", { name: "Done" }).click();
  await expect(page.getByText(name)).toBeVisible();
  await page.reload();
  await expect(page.getByText(name)).toBeVisible();
  expect(await page.content()).not.toContain(secret);
  await page.getByRole("button", { name: `More ${name}` }).click();
  await page.getByRole("menuitem", { name: "Revoke" }).click();
  await page.getByRole("dialog", { name: `Revoke key ${name}` }).getByRole("textbox").fill(name);
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await expect(page.getByRole("row").filter({ hasText: name }).getByText("Revoked")).toBeVisible();
});
