import { expect, test } from "@playwright/test";
import { accessible } from "./platform";

test.use({ storageState: { cookies: [], origins: [] } });

test("a wrong password is told, and nobody gets in", async ({ page }) => {
  await page.goto("/services");
  await expect(page).toHaveURL(/\/login\?next=%2Fservices/);
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByText("This field is needed.")).toHaveCount(2);
  await page.getByLabel("User name").fill("nobody-of-this-name");
  await page.getByLabel("Password", { exact: true }).fill("wrong password");
  await page.getByRole("button", { name: "Log in" }).click();
  await expect(page.getByRole("alert")).toBeVisible();
  await expect(page).toHaveURL(/\/login/);
});

test("the page speaks three languages and is accessible in both themes", async ({ page }) => {
  await page.goto("/login");
  await accessible(page);
  await page.getByTestId("theme").click();
  await accessible(page);
  for (const [name, heading] of [["繁體中文", "登入"], ["简体中文", "登录"], ["English", "Log in"]] as const) {
    await page.getByTestId("language").click();
    await page.getByRole("menuitem", { name }).click();
    await expect(page.getByRole("heading", { level: 1 })).toHaveText(heading);
  }
});
