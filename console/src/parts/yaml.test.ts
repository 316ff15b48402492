import { expect, test } from "vitest";
import { toYaml } from "./yaml";

test("a service reads like something a person wrote", () => {
  const text = toYaml({ kind: "Service", name: "demo", spec: { model: "demo:v1", engine: null, replicas: 2, compute: { accelerators: null }, engine_flags: { max_num_seqs: 8 }, note: "a: b" } });
  expect(text).toBe('kind: Service\nname: demo\nspec:\n  model: demo:v1\n  replicas: 2\n  engine_flags:\n    max_num_seqs: 8\n  note: "a: b"');
});

test("words with a meaning of their own are quoted", () => expect(toYaml({ a: "yes", b: "1", c: "" })).toBe('a: "yes"\nb: "1"\nc: ""'));

test("lists of values", () => expect(toYaml({ models: ["a", "b"] })).toBe("models:\n  - a\n  - b"));
