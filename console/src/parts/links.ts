/** Where an object of the platform is looked at; nothing for kinds without a page, such as a request. */
export function objectPath(kind: string, name: string): string | undefined {
  const at = encodeURIComponent(name);
  const pages: Record<string, string> = {
    service: `/services/${at}`,
    model: `/models/${at}`,
    node: `/platform/nodes/${at}`,
    pool: `/platform/pools/${at}`,
    project: `/platform/projects/${at}`,
    user: `/platform/users/${at}`,
    key: `/platform/keys?search=${at}`,
    job: `/platform/jobs?job=${at}`,
    logged_request: `/platform/requests?request=${at}`,
    batch: `/platform/batches?batch=${at}`,
    engine: "/platform/engines",
  };
  return pages[kind];
}
