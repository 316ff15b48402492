import type { Route, RouteCreate, RouteUpdate, Sticky, Visibility } from "../../api/schema";
import type { Same } from "../../parts/Equivalent";
import { destinationOf, labelOf } from "../../parts/destinations";

/** A route as its form holds it; destinations are written as in commands. */
export interface RouteValues {
  name: string;
  project: string;
  visibility?: Visibility;
  description?: string;
  arms?: ({ to?: string; weight?: number } | undefined)[];
  fallbacks?: string[];
  sticky?: Sticky;
}

export function valuesOf(route: Route): RouteValues {
  const { name, project, visibility, description, sticky } = route;
  return { name, project, visibility, description, sticky, arms: route.arms.map((arm) => ({ to: labelOf(arm), weight: arm.weight ?? 1 })), fallbacks: (route.fallbacks ?? []).map(labelOf) };
}

function fieldsOf(values: RouteValues) {
  return {
    visibility: values.visibility ?? "public",
    description: values.description ?? "",
    arms: armsOf(values).map(({ to, weight }) => ({ ...destinationOf(to), weight })),
    fallbacks: (values.fallbacks ?? []).map(destinationOf),
    sticky: values.sticky ?? "session",
  };
}

/** Those that are filled in. */
export function armsOf(values: RouteValues): { to: string; weight: number }[] {
  return (values.arms ?? []).flatMap((arm) => (arm?.to ? [{ to: arm.to, weight: arm.weight ?? 1 }] : []));
}

/** The share of the requests that a weight is among all, in percent. */
export function shareOf(weight: number | undefined, all: ({ weight?: number } | undefined)[] | undefined): number {
  const sum = (all ?? []).reduce((total, arm) => total + (arm?.weight ?? 1), 0);
  return sum ? Math.round(((weight ?? 1) / sum) * 1000) / 10 : 0;
}

export const creation = (values: RouteValues): RouteCreate => ({ name: values.name, project: values.project, ...fieldsOf(values) });

/** Only what differs. */
export function changed(values: RouteValues, editing: Route): RouteUpdate {
  const [now, before] = [fieldsOf(values), fieldsOf(valuesOf(editing))];
  return Object.fromEntries(Object.entries(now).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name as keyof typeof before])));
}

/** What the form does as a command, as REST and as YAML. */
export function sameAs(values: RouteValues, editing: Route | null): Same {
  const { visibility, description, sticky } = fieldsOf(values);
  const to = armsOf(values).flatMap((arm) => ["--to", `${arm.to}=${arm.weight}`]);
  const fallbacks = (values.fallbacks ?? []).flatMap((label) => ["--fallback", label]);
  if (editing) {
    const body = changed(values, editing);
    const words = [
      ...("arms" in body ? to : []),
      ...("fallbacks" in body ? (fallbacks.length ? fallbacks : ["--no-fallback"]) : []),
      ...("sticky" in body ? ["--sticky", sticky] : []),
      ...("visibility" in body ? ["--visibility", visibility] : []),
      ...("description" in body ? ["--description", description] : []),
    ];
    return { command: ["aicp", "route", "update", editing.name, ...words], method: "PATCH", path: `/api/v1/routes/${editing.name}`, body };
  }
  const body = creation(values);
  const words = ["--project", values.project, ...to, ...fallbacks, "--sticky", sticky, "--visibility", visibility, ...(description ? ["--description", description] : [])];
  return { command: ["aicp", "route", "create", values.name, ...words], method: "POST", path: "/api/v1/routes", body, document: { kind: "route", ...body } };
}
