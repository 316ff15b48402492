import type { Model, ModelVersion, Service } from "../../api/schema";

export interface Origin {
  kind: "base" | "source" | "version" | "service" | "derived";
  label: string;
  /** Where the platform shows it; what lies outside has none. */
  to?: string;
}

/** What a version came from and what came of it, column by column from left to right. */
export function lineageOf(version: ModelVersion, models: Model[], services: Service[]): Origin[][] {
  const base = typeof version.lineage.base_model === "string" ? version.lineage.base_model : undefined;
  const parent = base && models.find((model) => model.name === base || repositoryOf(model.latest?.source) === base);
  const own = repositoryOf(version.source);
  const derived = models.filter((model) => {
    const of = model.latest?.lineage.base_model;
    return model.name !== version.model && of !== undefined && (of === own || of === version.model);
  });
  const columns: Origin[][] = [
    base ? [{ kind: "base", label: base, to: parent ? `/models/${parent.name}` : undefined }] : [],
    [{ kind: "source", label: version.source }],
    [{ kind: "version", label: `${version.model}:${version.version}` }],
    [
      ...services.filter((service) => service.model_version === `${version.model}:${version.version}`).map((service): Origin => ({ kind: "service", label: service.name, to: `/services/${service.name}` })),
      ...derived.map((model): Origin => ({ kind: "derived", label: model.name, to: `/models/${model.name}` })),
    ],
  ];
  return columns.filter((column) => column.length > 0);
}

/** `Qwen/Qwen3-0.6B` of `huggingface:Qwen/Qwen3-0.6B@main`; undefined for what is no hub's. */
function repositoryOf(source: string | undefined): string | undefined {
  return /^(?:huggingface|modelscope|hf|ms):(?:\/\/)?([^@]+)/.exec(source ?? "")?.[1];
}
