import { expect, test } from "vitest";
import type { ApiKey } from "../../api/schema";
import { changed, creation, sameAs, valuesOf } from "./keyValues";

const KEY = { id: "key_1", name: "app", project: "lab", models: ["m"], limits: { rpm: 60, tpm: null }, priority: "batch", weight: 0.5, networks: ["10.0.0.0/8"], max_output_tokens: 100, defaults: { temperature: 0.2 }, tags: ["team=shop"], expires_at: null } as unknown as ApiKey;

test("a new key says only what was chosen", () => {
  expect(creation({ name: "app", project: "lab" })).toEqual({ name: "app", project: "lab", models: null, expires_at: null });
  expect(creation({ name: "app", project: "lab", limits: { rpm: 5, tpm: null }, priority: "batch" })).toMatchObject({ limits: { rpm: 5 }, priority: "batch" });
});

test("a change says only what differs, limits as a whole", () => {
  const values = valuesOf(KEY);
  expect(changed(values, KEY)).toEqual({});
  expect(changed({ ...values, limits: { rpm: null, tpm: 9 } }, KEY)).toEqual({ limits: { tpm: 9 } });
  expect(changed({ ...values, networks: [], max_output_tokens: null, defaults: {} }, KEY)).toEqual({ networks: null, max_output_tokens: null, defaults: {} });
});

test("tags are said as a whole, and taken away", () => {
  expect(changed({ ...valuesOf(KEY), tags: [] }, KEY)).toEqual({ tags: [] });
  expect(sameAs({ ...valuesOf(KEY), tags: ["a", "b"] }, KEY).command.slice(-4)).toEqual(["--tag", "a", "--tag", "b"]);
  expect(sameAs({ ...valuesOf(KEY), tags: [] }, KEY).command.at(-1)).toBe("--no-tags");
  expect(sameAs({ name: "app", project: "lab", tags: ["a"], limits: { budget_per_day: 12.5 } }, null).command.slice(6)).toEqual(["--limit", "budget_per_day=12.5", "--tag", "a"]);
});

test("the same as commands", () => {
  const values = { ...valuesOf(KEY), limits: { tpm: 9 }, networks: [], max_output_tokens: undefined, priority: "default" as const };
  expect(sameAs(values, KEY).command.slice(6)).toEqual(["--no-expiry", "--model", "m", "--limit", "rpm=", "--limit", "tpm=9", "--priority", "default", "--any-network", "--any-output"]);
  const created = sameAs({ name: "app", project: "lab", limits: { concurrency: 2 }, weight: 0.5, networks: ["::1"], defaults: { seed: 0 } }, null);
  expect(created.command).toEqual(["aicp", "key", "create", "app", "--project", "lab", "--limit", "concurrency=2", "--weight", "0.5", "--network", "::1", "--default", "seed=0"]);
});
