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

const OF_A_LIST = ["page", "search", "sort", "state", "severity", "outcome", "service"];

/** The open tab of a page; another tab begins without what was chosen in the list of this one. */
export function useTab(initial: string): [string, (tab: string) => void] {
  const [url, setUrl] = useUrlMany();
  const open = (tab: string) => setUrl({ ...Object.fromEntries(OF_A_LIST.map((key) => [key, undefined])), tab: tab === initial ? undefined : tab });
  return [url.get("tab") ?? initial, open];
}

export const PAGE_SIZE = 25;

/** Whether a page of a list holds nothing although the list does. */
export const isBeyond = (page: number, list: { items: unknown[]; total: number } | undefined): boolean => page > 1 && list !== undefined && list.items.length === 0 && list.total > 0;

/** What a platform is asked for one page of a list: `sort` is a field, falling with `-` before it. */
export interface PageQuery {
  offset: number;
  limit: number;
  search?: string;
  sort?: string;
}

/** What the address asks for: its page, search words and order. */
export function pageQuery(url: URLSearchParams, search = url.get("search") ?? ""): PageQuery {
  const page = Math.max(1, Math.floor(Number(url.get("page"))) || 1);
  const [field, direction] = (url.get("sort") ?? "").split(":");
  return { offset: (page - 1) * PAGE_SIZE, limit: PAGE_SIZE, search: search || undefined, sort: field ? `${direction === "desc" ? "-" : ""}${field}` : undefined };
}
