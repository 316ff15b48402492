import { defineConfig } from "@playwright/test";

const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** The pages against a running platform: AICP_CONSOLE_URL, AICP_ADMIN_PASSWORD, and a folder with a small model. */
export default defineConfig({
  testDir: "tests",
  workers: 1,
  timeout: 60_000,
  expect: { timeout: 20_000 },
  reporter: [["list"]],
  outputDir: "test-results",
  use: {
    baseURL: process.env.AICP_CONSOLE_URL ?? "http://127.0.0.1:8600",
    viewport: { width: 1280, height: 800 },
    locale: "en-US",
    trace: "retain-on-failure",
    launchOptions: { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags },
  },
  projects: [
    { name: "login", testMatch: "login.setup.ts" },
    { name: "pages", testMatch: "*.spec.ts", dependencies: ["login"], use: { storageState: "test-results/session.json" } },
  ],
});
