import { expect, test as setup, type Page } from "@playwright/test";
import { SESSION } from "./platform";

const FIRST = process.env.AICP_ADMIN_PASSWORD ?? "";
const OWN = process.env.AICP_ADMIN_NEW_PASSWORD ?? "a password of the tests";

async function login(page: Page, password: string): Promise<void> {
  await page.getByLabel("User name").fill("admin");
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
}

setup("the first login asks for an own password, later ones do not", async ({ page }) => {
  await page.goto("/login");
  await page.getByRole("heading", { level: 1 }).waitFor();
  await page.evaluate(() => {
    localStorage.setItem("aicp.language", "en");
    localStorage.setItem("aicp.theme", "light");
  });
  await page.reload();
  await login(page, FIRST);
  const overview = page.getByRole("heading", { level: 1, name: "Overview" });
  const change = page.getByRole("heading", { name: "Choose your own password" });
  const refused = page.getByRole("alert");
  await expect(overview.or(change).or(refused)).toBeVisible();
  if (await refused.isVisible()) await login(page, OWN);
  if (await change.isVisible()) {
    await page.getByRole("button", { name: "Later" }).click();
    await expect(overview).toBeVisible();
    await page.goto("/password");
    await page.getByLabel("Current password").fill(FIRST);
    await page.getByLabel("New password", { exact: true }).fill(OWN);
    await page.getByLabel("New password again").fill("something else");
    await page.getByRole("button", { name: "Change password" }).click();
    await expect(page.getByText("The two are not the same.")).toBeVisible();
    await page.getByLabel("New password again").fill(OWN);
    await page.getByRole("button", { name: "Change password" }).click();
  }
  await expect(overview).toBeVisible();
  await page.context().storageState({ path: SESSION });
});
