import { useCallback } from "react";
import { useSearchParams } from "react-router";

/** A piece of state that lives in the address; the default value stays out of it. */
export function useUrl(key: string, initial = ""): [string, (value: string) => void] {
  const [parameters, setParameters] = useSearchParams();
  const set = useCallback(
    (value: string) =>
      setParameters(
        (current) => {
          const next = new URLSearchParams(current);
          if (value === initial || value === "") next.delete(key);
          else next.set(key, value);
          return next;
        },
        { replace: true },
      ),
    [key, initial, setParameters],
  );
  return [parameters.get(key) ?? initial, set];
}

export function useUrlMany(): [URLSearchParams, (values: Record<string, string | undefined>) => void] {
  const [parameters, setParameters] = useSearchParams();
  const set = useCallback(
    (values: Record<string, string | undefined>) =>
      setParameters(
        (current) => {
          const next = new URLSearchParams(current);
          for (const [key, value] of Object.entries(values)) {
            if (value) next.set(key, value);
            else next.delete(key);
          }
          return next;
        },
        { replace: true },
      ),
    [setParameters],
  );
  return [parameters, set];
}

const OF_A_LIST = ["page", "search", "sort", "state", "severity", "outcome"];

/** The open tab of a page; another tab begins without what was chosen in the list of this one. */
export function useTab(initial: string): [string, (tab: string) => void] {
  const [url, setUrl] = useUrlMany();
  const open = (tab: string) => setUrl({ ...Object.fromEntries(OF_A_LIST.map((key) => [key, undefined])), tab: tab === initial ? undefined : tab });
  return [url.get("tab") ?? initial, open];
}

/** `created_at:desc` of the address as the platform writes it: `-created_at`. */
export function sortOf(text: string | null): { sort?: string } {
  const [field, direction] = (text ?? "").split(":");
  return field ? { sort: direction === "desc" ? `-${field}` : field } : {};
}
