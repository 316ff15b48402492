import type { EngineFlag, Mode, Service, ServiceCreate, ServiceSpec, ServiceUpdate, SlicePolicy, SliceSpec, Visibility } from "../../api/schema";
import { GIB } from "../../parts/format";
import { ruleOf, SCALING, scalingOf, type ScalingValues } from "./scaling";

/** The publish form as a person fills it: empty fields are the platform's to choose. */
export interface PublishValues {
  name?: string;
  project: string;
  description?: string;
  model: string;
  version?: string;
  pool: string;
  mode: Mode;
  /** That one replica spans; the rest is what it gets on each. */
  nodes?: number | null;
  accelerators?: number | null;
  /** Whole accelerators, or a part of each. */
  share: "whole" | "slice";
  slice_percent?: number | null;
  slice_memory_gib?: number | null;
  slice_policy?: SlicePolicy;
  /** Only accelerators of this vendor. */
  vendor?: string | null;
  /** KEY=VALUE; only nodes that carry all of them. */
  node_labels?: string[];
  tolerations?: string[];
  cpu_cores?: number | null;
  memory_gib?: number | null;
  replicas: number;
  /** Whether the number follows the load. */
  scales?: boolean;
  scaling?: ScalingValues;
  context_length?: number | null;
  users?: number | null;
  engine?: string;
  engine_version?: string;
  flags?: { name: string; value: string | number | boolean }[];
  visibility: Visibility;
  drain_seconds: number;
  priority?: number | null;
  /** Whether its replicas make room for those of a higher priority. */
  preemptible?: boolean;
  create_key?: boolean;
}

export const DEFAULTS: Omit<PublishValues, "model" | "project"> = { pool: "default", mode: "balanced", nodes: 1, share: "whole", slice_percent: 10, slice_policy: "cap", replicas: 1, scales: false, scaling: SCALING, visibility: "public", drain_seconds: 60, priority: 0, preemptible: false, create_key: true };

export function specOf(values: PublishValues): ServiceSpec {
  const custom = values.mode === "custom";
  return {
    model: values.version ? `${values.model}:${values.version}` : values.model,
    mode: values.mode,
    pool: values.pool,
    replicas: values.replicas,
    autoscale: values.scales ? ruleOf(values.scaling ?? SCALING) : undefined,
    visibility: values.visibility,
    drain_seconds: values.drain_seconds,
    priority: values.priority ?? 0,
    preemptible: values.preemptible ?? false,
    compute: {
      nodes: values.nodes ?? 1,
      accelerators: values.accelerators ?? undefined,
      slice: sliceOf(values),
      vendor: values.vendor ?? undefined,
      node_labels: values.node_labels?.length ? Object.fromEntries(values.node_labels.map(pairOf)) : undefined,
      tolerations: values.tolerations?.length ? values.tolerations : undefined,
      cpu_cores: values.cpu_cores ?? undefined,
      memory_bytes: values.memory_gib ? Math.round(values.memory_gib * GIB) : undefined,
    },
    context_length: values.context_length ?? undefined,
    users: values.users ?? undefined,
    // A service may be pinned to an engine in any mode (`aicp publish --engine`); changing it here keeps the pin.
    engine: values.engine || undefined,
    engine_version: values.engine_version || undefined,
    engine_flags: custom ? Object.fromEntries((values.flags ?? []).filter((flag) => flag?.name && flag.value !== undefined).map((flag) => [flag.name, flag.value])) : {},
  };
}

function pairOf(label: string): [string, string] {
  const [key = "", ...value] = label.split("=");
  return [key.trim(), value.join("=").trim()];
}

function sliceOf(values: PublishValues): SliceSpec | undefined {
  if (values.share !== "slice") return undefined;
  return {
    compute_percent: values.slice_percent ?? 10,
    memory_bytes: values.slice_memory_gib ? Math.round(values.slice_memory_gib * GIB) : undefined,
    policy: values.slice_policy ?? "cap",
  };
}

export function createOf(values: PublishValues): ServiceCreate {
  return { name: values.name || undefined, project: values.project, description: values.description ?? "", spec: specOf(values), create_key: values.create_key ?? false };
}

export function updateOf(values: PublishValues): ServiceUpdate {
  return { spec: specOf(values), description: values.description ?? "" };
}

type Field = keyof PublishValues;

/** The value a parameter starts with: a switch where the engine has it unasked, so that one click changes something. */
export function startOf(flag?: EngineFlag): boolean | undefined {
  return flag?.type === "bool" ? (flag.default ?? false) : undefined;
}

const RENAMED: Record<string, Field> = { slice: "slice_percent", compute_percent: "slice_percent", policy: "slice_policy", memory_bytes: "memory_gib" };
const FIELDS: Field[] = ["name", "project", "description", "create_key", "model", "pool", "mode", "replicas", "visibility", "drain_seconds", "priority", "preemptible", "context_length", "users", "engine", "engine_version", "nodes", "accelerators", "cpu_cores", "memory_gib", "slice_percent", "slice_memory_gib", "slice_policy", "vendor", "node_labels", "tolerations"];
/** Fields that are folded away until asked for. */
export const FOLDED: unknown[] = ["vendor", "node_labels", "tolerations", "description", "visibility", "drain_seconds", "priority", "preemptible"];

/** Where the form shows what the platform says of `path`, e.g. `spec.compute.cpu_cores`; undefined: nowhere. */
export function fieldOf(path: string, values: PublishValues): Field | ["flags", number, "value"] | ["scaling", keyof ScalingValues] | undefined {
  const scaling = /^spec\.autoscale\.(\w+)/.exec(path)?.[1] as keyof ScalingValues | undefined;
  if (scaling !== undefined) return ["scaling", scaling];
  const [, flag] = /^spec\.engine_flags\.(.+)$/.exec(path) ?? [];
  const at = flag === undefined ? -1 : (values.flags ?? []).findIndex((item) => item?.name === flag);
  if (at >= 0) return ["flags", at, "value"];
  if (path.endsWith("slice.memory_bytes")) return "slice_memory_gib";
  const last = path.split(".").pop() ?? "";
  return RENAMED[last] ?? FIELDS.find((field) => field === last);
}

/** The form of a service that runs, to change it. */
export function valuesOf(service: Service): PublishValues {
  const { spec } = service;
  const [model = "", version] = spec.model.split(":");
  return {
    name: service.name,
    project: service.project,
    description: service.description,
    model,
    version,
    pool: spec.pool ?? "default",
    mode: spec.mode ?? "balanced",
    nodes: spec.compute?.nodes ?? 1,
    accelerators: spec.compute?.accelerators,
    share: spec.compute?.slice ? "slice" : "whole",
    slice_percent: spec.compute?.slice?.compute_percent ?? 10,
    slice_memory_gib: spec.compute?.slice?.memory_bytes ? spec.compute.slice.memory_bytes / GIB : undefined,
    slice_policy: spec.compute?.slice?.policy ?? "cap",
    vendor: spec.compute?.vendor ?? undefined,
    node_labels: Object.entries(spec.compute?.node_labels ?? {}).map(([key, value]) => `${key}=${value}`),
    tolerations: spec.compute?.tolerations ?? [],
    cpu_cores: spec.compute?.cpu_cores,
    memory_gib: spec.compute?.memory_bytes ? spec.compute.memory_bytes / GIB : undefined,
    replicas: spec.replicas ?? 1,
    scales: Boolean(spec.autoscale),
    scaling: spec.autoscale ? scalingOf(spec.autoscale) : SCALING,
    context_length: spec.context_length,
    users: spec.users,
    engine: spec.engine ?? undefined,
    engine_version: spec.engine_version ?? undefined,
    flags: Object.entries(spec.engine_flags ?? {}).map(([name, value]) => ({ name, value: value as string })),
    visibility: spec.visibility ?? "public",
    drain_seconds: spec.drain_seconds ?? 60,
    priority: spec.priority ?? 0,
    preemptible: spec.preemptible ?? false,
  };
}
