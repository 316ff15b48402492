import { PAGE_SIZE } from "../parts/DataTable";
import { sortOf, useUrlMany } from "../parts/url";
import { useDebounced } from "./plan";

/** What the address asks of a list that the platform searches, sorts and pages. */
export function usePaging(): { offset: number; limit: number; search?: string; sort?: string } {
  const [url] = useUrlMany();
  const search = useDebounced(url.get("search") ?? "", 250);
  return { offset: (Math.max(1, Number(url.get("page")) || 1) - 1) * PAGE_SIZE, limit: PAGE_SIZE, ...(search ? { search } : {}), ...sortOf(url.get("sort")) };
}
