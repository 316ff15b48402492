import { expect, test } from "vitest";
import type { Service } from "../../api/schema";
import { specOf, valuesOf } from "./spec";

test("a change in the console keeps what the form does not ask", () => {
  const spec = { model: "m:v1", mode: "balanced", pool: "default", engine: "llamacpp", engine_version: "1", compute: { vendor: "cpu", accelerators: null, cpu_cores: 2, memory_bytes: null }, replicas: 1, visibility: "public", drain_seconds: 60, engine_flags: {} };
  const changed = specOf({ ...valuesOf({ name: "s", description: "", spec } as unknown as Service), replicas: 2 });
  expect([changed.engine, changed.engine_version, changed.compute?.vendor, changed.replicas]).toEqual(["llamacpp", "1", "cpu", 2]);
});
