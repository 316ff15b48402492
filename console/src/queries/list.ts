import { pageQuery, useUrlMany, type PageQuery } from "../parts/url";
import { useDebounced } from "./plan";

/** What the address asks of a list that the platform searches, sorts and pages. */
export function usePaging(): PageQuery {
  const [url] = useUrlMany();
  const search = useDebounced(url.get("search") ?? "", 250);
  return pageQuery(url, search);
}
