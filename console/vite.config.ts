import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const platform = process.env.AICP_CONSOLE_URL ?? "http://127.0.0.1:8600";

export default defineConfig({
  plugins: [react()],
  // The bundle check reads the manifest to add up what the first page loads.
  build: { target: "es2022", manifest: true, chunkSizeWarningLimit: 700 },
  server: { proxy: { "/api": platform } },
  test: { include: ["src/**/*.test.ts"] },
});
