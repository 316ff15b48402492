import { useDebounced } from "../queries/plan";
import { pageQuery, useUrlMany, type PageQuery } from "./url";

/** The page, search and sort order in the address, for lists that the platform searches, sorts and pages. */
export function usePageQuery(): PageQuery {
  const [url] = useUrlMany();
  const search = useDebounced(url.get("search") ?? "", 250);
  return pageQuery(url, search);
}
