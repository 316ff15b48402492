import { keepPreviousData, queryOptions, useQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { api, need } from "../api/client";
import { everyPage } from "./pages";

export const projectsQuery = queryOptions({
  queryKey: ["project", "list"],
  queryFn: () => everyPage((query) => need(api.GET("/api/v1/projects", { params: { query } }))),
});

/** One page of the list of projects. */
export const projectPageQuery = (query: { search?: string; sort?: string; offset?: number; limit?: number }) =>
  queryOptions({ queryKey: ["project", "page", query], placeholderData: keepPreviousData, queryFn: () => need(api.GET("/api/v1/projects", { params: { query } })) });

/** The first few projects whose name matches, to choose from. */
export const projectChoices = async (search: string | undefined) => {
  const { items } = await need(api.GET("/api/v1/projects", { params: { query: { search, limit: 20 } } }));
  return items.map((project) => ({ value: project.name, label: project.name }));
};

const KEY = "aicp.project";

/** The chosen project; undefined means all. It lives in the address and is remembered in this browser. */
export function useProject(): [string | undefined, (project: string | undefined) => void] {
  const [parameters, setParameters] = useSearchParams();
  const project = parameters.get("project") ?? localStorage.getItem(KEY) ?? undefined;
  const choose = (next: string | undefined) => {
    if (next) localStorage.setItem(KEY, next);
    else localStorage.removeItem(KEY);
    setParameters((current) => {
      const changed = new URLSearchParams(current);
      if (next) changed.set("project", next);
      else changed.delete("project");
      changed.delete("page");
      return changed;
    });
  };
  return [project, choose];
}

/** Chooses no project any more, in this browser: at all, or if it is `name`. */
export function forgetProject(name?: string): void {
  if (name === undefined || localStorage.getItem(KEY) === name) localStorage.removeItem(KEY);
}

/** The chosen project if it is there, else the default one or the first; before they are known, whatever was chosen. */
export function homeOf(chosen: string | undefined, names: string[] | undefined): string {
  if (!names) return chosen ?? "default";
  return [chosen, "default", names[0]].find((name) => name !== undefined && names.includes(name)) ?? "default";
}

/** The project in which something new is made. */
export function useHomeProject(): string {
  const [project] = useProject();
  const { data } = useQuery(projectsQuery);
  return homeOf(project, data?.items.map(({ name }) => name));
}
