import { expect, test } from "@playwright/test";
import { execFileSync } from "node:child_process";
import { request as https } from "node:https";
import { accessible, call, failing, recovers, unique } from "./platform";

interface Tokens {
  items: { id: string }[];
  address: string | null;
}

/** Joins as a machine does, without an agent behind it. */
async function join(command: string, hostname: string): Promise<void> {
  const [, address = "", token = ""] = /^aicp node join (\S+) --token (\S+) --detach$/.exec(command) ?? [];
  expect(token, command).not.toBe("");
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
  const csr = execFileSync("openssl", ["req", "-new", ...curve, "-nodes", "-keyout", "/dev/null", "-subj", "/CN=node"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const body = JSON.stringify({ request: csr, node_id: `node_${hostname.replaceAll("-", "")}`, hostname, port: 9 });
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const asked = https(`https://${address}/join/v1`, { method: "POST", headers, servername: "control.aicp", rejectUnauthorized: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    asked.on("error", reject);
    asked.end(body);
  });
  expect(status).toBe(200);
}

test("a machine joins by the command that is shown once, is seen to arrive, and is removed again", async ({ page, request }) => {
  const { address } = await call<Tokens>(request, "GET", "/join-tokens");
  expect(address, "the platform of the tests is started with a cluster address").toBeTruthy();
  const name = unique("joined");
  await page.goto("/platform/nodes");
  await page.getByRole("button", { name: "Add a node" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Labels").fill("zone");
  await page.keyboard.press("Enter");
  await dialog.getByRole("button", { name: "Make the command" }).click();
  await expect(dialog.locator(".ant-form-item-explain-error")).toContainText("KEY=VALUE");
  await dialog.getByLabel("Labels").press("Backspace");
  await dialog.getByLabel("Labels").fill("zone=b");
  await page.keyboard.press("Enter");
  await dialog.getByLabel("Holds for").fill("2");
  await dialog.getByRole("button", { name: "As code" }).click();
  await expect(dialog.locator("pre").first()).toHaveText("aicp node token --hours 2 --label zone=b");
  await accessible(page);
  await dialog.getByRole("button", { name: "Make the command" }).click();
  await expect(dialog.getByRole("status")).toContainText("Waiting for 1 machine to join");
  await accessible(page);
  await join((await dialog.getByTestId("secret").textContent()) ?? "", name);
  await expect(dialog.getByRole("status")).toContainText(`Joined: ${name}`);
  await expect(dialog.getByRole("status")).not.toContainText("Waiting");
  await dialog.getByRole("link", { name }).click();
  await expect(page.getByRole("heading", { level: 1, name })).toBeVisible();
  await expect(page.getByText("zone=b")).toBeVisible();
  await page.getByRole("button", { name: "Remove" }).click();
  await expect(dialog).toContainText("It holds no replica.");
  await expect(dialog).toContainText("joins again only with a new token");
  await expect(dialog.getByRole("button", { name: "Remove" })).toBeDisabled();
  await dialog.getByRole("textbox").fill(name);
  await dialog.getByRole("button", { name: "Remove" }).click();
  await expect(page).toHaveURL(/\/platform\/nodes$/);
  await expect(page.getByRole("link", { name })).toHaveCount(0);
});

test("an open token is listed until it is revoked", async ({ page, request }) => {
  const label = unique("rack");
  const { join_token } = await call<{ join_token: { id: string } }>(request, "POST", "/join-tokens", { uses: 3, labels: { rack: label } });
  await page.goto("/platform/nodes");
  const row = page.getByRole("row").filter({ hasText: `rack=${label}` });
  await expect(row).toContainText("3 of 3");
  await accessible(page);
  await row.getByRole("button", { name: `Revoke ${join_token.id}` }).click();
  await expect(page.getByRole("dialog")).toContainText("Nodes that joined with it stay.");
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await expect(row).toHaveCount(0);
  expect((await call<Tokens>(request, "GET", "/join-tokens")).items.map(({ id }) => id)).not.toContain(join_token.id);
});

test("a platform that listens for no machine says how it is started so that it does", async ({ page }) => {
  await page.route("**/api/v1/join-tokens?*", async (route) => {
    const answer = await route.fetch();
    await route.fulfill({ response: answer, json: { ...((await answer.json()) as Tokens), address: null } });
  });
  await page.goto("/platform/nodes?add=1");
  const dialog = page.getByRole("dialog");
  await expect(dialog).toContainText("takes no further machines");
  await expect(dialog.locator("pre")).toContainText("aicp up --cluster HOST:8609");
  await expect(dialog.getByRole("button", { name: "Make the command" })).toHaveCount(0);
  await accessible(page);
  await dialog.getByRole("button", { name: "Done" }).click();
  await expect(page).toHaveURL(/\/platform\/nodes$/);
});

test("the platform's own node is cordoned from its row, and cannot be removed while it answers", async ({ page, request }) => {
  const { items } = await call<{ items: { id: string; address: string }[] }>(request, "GET", "/nodes");
  const own = items.find(({ address }) => !address.startsWith("mtls://"));
  await page.goto("/platform/nodes");
  const row = page.getByRole("row").filter({ has: page.locator(`a[href="/platform/nodes/${own?.id}"]`) });
  await row.getByRole("button", { name: /^More / }).click();
  await expect(page.getByRole("menuitem", { name: "Drain" })).toBeVisible();
  await expect(page.getByRole("menuitem", { name: "Remove" })).toHaveCount(0);
  await page.getByRole("menuitem", { name: "Cordon", exact: true }).click();
  await expect(row.getByText("Cordoned", { exact: true })).toBeVisible();
  await row.getByRole("button", { name: /^More / }).click();
  await page.getByRole("menuitem", { name: "Uncordon" }).click();
  await expect(row.getByText("Ready", { exact: true })).toBeVisible();
});

test("who may not change nodes sees no way to", async ({ page }) => {
  await page.route("**/api/v1/session", async (route) => {
    const answer = await route.fetch();
    const session = (await answer.json()) as { permissions: Record<string, string[]> };
    for (const granted of Object.values(session.permissions)) granted.splice(0, granted.length, ...granted.filter((permission) => permission !== "node:write"));
    await route.fulfill({ response: answer, json: session });
  });
  await page.goto("/platform/nodes?add=1");
  await expect(page.locator(".ant-table-row").first()).toBeVisible();
  await expect(page.getByRole("button", { name: "Add a node" })).toHaveCount(0);
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await expect(page.getByRole("button", { name: /^More / })).toHaveCount(0);
});

test("an error of the tokens names its request and can be tried again", async ({ page }) => {
  await failing(page, "/join-tokens?*");
  await page.goto("/platform/nodes");
  await recovers(page, "/join-tokens?*");
});
