import { expect, test } from "vitest";
import type { Model, ModelVersion, Service } from "../../api/schema";
import { lineageOf } from "./lineage";

const version = (lineage: object, source = "directory:/models/a") => ({ model: "tuned", version: "v2", source, lineage }) as unknown as ModelVersion;
const model = (name: string, source: string, lineage: object = {}) => ({ name, latest: { source, lineage } }) as unknown as Model;
const service = (name: string, model_version: string) => ({ name, model_version }) as Service;

test("a version stands between what it came from and what came of it", () => {
  const models = [model("qwen", "huggingface:Qwen/Qwen3-0.6B@abc"), model("child", "directory:/b", { base_model: "tuned" }), model("other", "directory:/c")];
  const services = [service("chat", "tuned:v2"), service("old", "tuned:v1")];
  expect(lineageOf(version({ base_model: "Qwen/Qwen3-0.6B" }), models, services)).toEqual([
    [{ kind: "base", label: "Qwen/Qwen3-0.6B", to: "/models/qwen" }],
    [{ kind: "source", label: "directory:/models/a" }],
    [{ kind: "version", label: "tuned:v2" }],
    [{ kind: "service", label: "chat", to: "/services/chat" }, { kind: "derived", label: "child", to: "/models/child" }],
  ]);
});

test("without a base and without use two columns are left; a base elsewhere has no page", () => {
  expect(lineageOf(version({}), [], [])).toHaveLength(2);
  expect(lineageOf(version({ base_model: "Far/Away" }), [], [])[0]?.[0]).toEqual({ kind: "base", label: "Far/Away", to: undefined });
});

test("what was made from the same hub repository counts as derived", () => {
  const found = lineageOf(version({}, "huggingface:Org/Base@main"), [model("child", "directory:/b", { base_model: "Org/Base" })], []);
  expect(found.at(-1)).toEqual([{ kind: "derived", label: "child", to: "/models/child" }]);
});
