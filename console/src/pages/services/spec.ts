import type { Mode, Service, ServiceCreate, ServiceSpec, Visibility } from "../../api/schema";
import { GIB } from "../../parts/format";

/** The publish form as a person fills it: empty fields are the platform's to choose. */
export interface PublishValues {
  name?: string;
  description?: string;
  model: string;
  version?: string;
  pool: string;
  mode: Mode;
  accelerators?: number | null;
  /** Kept from a service that names one; the form does not ask. */
  vendor?: string | null;
  cpu_cores?: number | null;
  memory_gib?: number | null;
  replicas: number;
  context_length?: number | null;
  users?: number | null;
  engine?: string;
  engine_version?: string;
  flags?: { name: string; value: string | number | boolean }[];
  visibility: Visibility;
  drain_seconds: number;
  create_key?: boolean;
}

export const DEFAULTS: Omit<PublishValues, "model"> = { pool: "default", mode: "balanced", replicas: 1, visibility: "public", drain_seconds: 60, create_key: true };

export function specOf(values: PublishValues): ServiceSpec {
  const custom = values.mode === "custom";
  return {
    model: values.version ? `${values.model}:${values.version}` : values.model,
    mode: values.mode,
    pool: values.pool,
    replicas: values.replicas,
    visibility: values.visibility,
    drain_seconds: values.drain_seconds,
    compute: {
      accelerators: values.accelerators ?? undefined,
      vendor: values.vendor ?? undefined,
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

export function createOf(values: PublishValues, project: string): ServiceCreate {
  return { name: values.name || undefined, project, description: values.description ?? "", spec: specOf(values), create_key: values.create_key ?? false };
}

/** The form of a service that runs, to change it. */
export function valuesOf(service: Service): PublishValues {
  const { spec } = service;
  const [model = "", version] = spec.model.split(":");
  return {
    name: service.name,
    description: service.description,
    model,
    version,
    pool: spec.pool ?? "default",
    mode: spec.mode ?? "balanced",
    accelerators: spec.compute?.accelerators,
    vendor: spec.compute?.vendor,
    cpu_cores: spec.compute?.cpu_cores,
    memory_gib: spec.compute?.memory_bytes ? spec.compute.memory_bytes / GIB : undefined,
    replicas: spec.replicas ?? 1,
    context_length: spec.context_length,
    users: spec.users,
    engine: spec.engine ?? undefined,
    engine_version: spec.engine_version ?? undefined,
    flags: Object.entries(spec.engine_flags ?? {}).map(([name, value]) => ({ name, value: value as string })),
    visibility: spec.visibility ?? "public",
    drain_seconds: spec.drain_seconds ?? 60,
  };
}
