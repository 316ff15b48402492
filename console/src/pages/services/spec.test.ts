import { expect, test } from "vitest";
import type { EngineFlag, Service } from "../../api/schema";
import { createOf, DEFAULTS, fieldOf, specOf, startOf, updateOf, valuesOf, type PublishValues } from "./spec";

const SPEC = { model: "m:v1", mode: "balanced", pool: "default", engine: "llamacpp", engine_version: "1", compute: { vendor: "cpu", accelerators: null, cpu_cores: 2, memory_bytes: null }, replicas: 1, visibility: "public", drain_seconds: 60, engine_flags: {} };
const SERVICE = { name: "s", project: "lab", description: "d", spec: SPEC } as unknown as Service;
const VALUES: PublishValues = { ...DEFAULTS, model: "m", project: "lab", mode: "custom", engine: "vllm", flags: [{ name: "a", value: false }, { name: "b", value: 1 }] };

test("a change in the console keeps what the form does not ask", () => {
  const changed = specOf({ ...valuesOf(SERVICE), replicas: 2 });
  expect([changed.engine, changed.engine_version, changed.compute?.vendor, changed.replicas]).toEqual(["llamacpp", "1", "cpu", 2]);
  expect(updateOf(valuesOf(SERVICE)).description).toBe("d");
});

test("what is asked for is published in the project of the form", () => {
  expect(createOf(VALUES)).toMatchObject({ project: "lab", create_key: true, spec: { model: "m", engine_flags: { a: false, b: 1 } } });
});

test("a slice is asked for and shown again, and whole accelerators are no slice", () => {
  const asked = specOf({ ...VALUES, share: "slice", slice_percent: 30, slice_memory_gib: 1.5, slice_policy: "weight" });
  expect(asked.compute?.slice).toEqual({ compute_percent: 30, memory_bytes: 1.5 * 2 ** 30, policy: "weight" });
  expect(specOf(valuesOf({ ...SERVICE, spec: { ...SERVICE.spec, compute: asked.compute } })).compute?.slice).toEqual(asked.compute?.slice);
  expect(specOf(VALUES).compute?.slice).toBeUndefined();
});

test("how many nodes a replica spans is asked for and shown again", () => {
  const asked = specOf({ ...VALUES, nodes: 2 });
  expect([asked.compute?.nodes, specOf(VALUES).compute?.nodes]).toEqual([2, 1]);
  expect(valuesOf({ ...SERVICE, spec: { ...SERVICE.spec, compute: asked.compute } }).nodes).toBe(2);
});

test("labels and tolerations are asked for and shown again", () => {
  const asked = specOf({ ...VALUES, node_labels: ["zone=a", "disk=ssd"], tolerations: ["gpu"] });
  expect([asked.compute?.node_labels, asked.compute?.tolerations]).toEqual([{ zone: "a", disk: "ssd" }, ["gpu"]]);
  expect(valuesOf({ ...SERVICE, spec: { ...SERVICE.spec, compute: asked.compute } })).toMatchObject({ node_labels: ["zone=a", "disk=ssd"], tolerations: ["gpu"] });
});

test.each([
  ["spec.compute.slice.memory_bytes", "slice_memory_gib"],
  ["spec.compute.slice.compute_percent", "slice_percent"],
  ["name", "name"],
  ["spec.compute.memory_bytes", "memory_gib"],
  ["spec.compute.cpu_cores", "cpu_cores"],
  ["spec.drain_seconds", "drain_seconds"],
  ["spec.engine_flags.b", ["flags", 1, "value"]],
  ["spec.engine_flags.gone", undefined],
  ["spec.surprise", undefined],
  ["body", undefined],
])("what the platform says of %s is shown at %j", (path, field) => {
  expect(fieldOf(path, VALUES)).toEqual(field);
});

test("a switch that the engine has on begins on, so that one click turns it off", () => {
  const flag: EngineFlag = { name: "x", type: "bool", description: "", minimum: null, maximum: null, choices: [], default: true };
  expect([startOf(flag), startOf({ ...flag, default: null }), startOf({ ...flag, type: "int" }), startOf()]).toEqual([true, false, undefined, undefined]);
});
