import { expect, test } from "vitest";
import type { CacheRule } from "../../api/schema";
import { bodyOf, hitsOf, measuredOf, sameAs, share, USUAL, valuesOf } from "./cacheValues";

const RULE: CacheRule = { project: "lab", model: "chat", mode: "measure", ttl_seconds: 60, embedding_model: "embed", threshold: 0.97, max_entries: 5, any_temperature: true, generation: 3, set_at: "2026-01-01T00:00:00Z", set_by: null };

test("a rule that is opened and saved stays as it is", () => {
  expect(bodyOf(valuesOf(RULE))).toEqual({ mode: "measure", ttl_seconds: 60, embedding_model: "embed", threshold: 0.97, max_entries: 5, any_temperature: true });
});

test("what is left empty is as usual, and no embedding model is none", () => {
  expect(bodyOf({ project: "lab", model: "chat", embedding_model: "", ttl_seconds: undefined })).toEqual(USUAL);
});

test("the command says the same as the request", () => {
  expect(sameAs(valuesOf(RULE)).command.slice(3)).toEqual(["chat", "--project", "lab", "--mode", "measure", "--ttl-seconds", "60", "--max-entries", "5", "--embedding-model", "embed", "--threshold", "0.97", "--any-temperature"]);
  expect(sameAs({}).command).not.toContain("--embedding-model");
  expect(sameAs(valuesOf(RULE)).path).toBe("/api/v1/cache-rules/lab/chat");
});

test("shares are told where there is a whole", () => {
  expect([share(1, 3), share(0, 5), share(0, 0)]).toEqual(["33.3 %", "0 %", undefined]);
  const stats = { project: "lab", model: "chat", lookups: 9, exact_hits: 2, semantic_hits: 1, saved_tokens: 5, agreed: 4, disagreed: 1, gated: 2 };
  expect([hitsOf(stats), measuredOf(stats), hitsOf(undefined), measuredOf(undefined)]).toEqual([3, 5, 0, 0]);
});
