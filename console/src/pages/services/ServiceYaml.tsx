import type { Service } from "../../api/schema";
import { Code } from "../../parts/Code";
import { toYaml } from "../../parts/yaml";

/** The service as `aicp apply -f` takes it. */
export function ServiceYaml({ service }: { service: Service }) {
  const { name, project, description, spec } = service;
  return <Code text={toYaml({ kind: "service", name, project, ...(description ? { description } : {}), spec })} />;
}
