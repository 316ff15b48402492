import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";

/** What else changes its looks when an object of a kind changes. */
const ALSO: Record<string, string[]> = {
  replica: ["service", "node", "pool", "overview"],
  service: ["replica", "overview", "event", "pool", "engine", "route"],
  node: ["pool", "overview", "event"],
  pool: ["node", "event"],
  engine: ["node"],
  model: ["event"],
  job: ["overview"],
  batch: ["event"],
  key: ["event"],
  price: ["event"],
  cache_rule: ["event"],
  user: ["event"],
  project: ["event", "session"],
  event: ["overview"],
  route: ["service"],
  provider: ["route"],
  listener: ["port", "event"],
  gateway: ["listener"],
  join_token: ["event"],
};

/** Keeps every query fresh from the platform's stream of changes; queries are keyed by kind first. */
export function useLiveChanges(): void {
  const client = useQueryClient();
  useEffect(() => {
    const waiting = new Set<string>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const flush = () => {
      timer = undefined;
      for (const kind of waiting) void client.invalidateQueries({ queryKey: [kind] });
      waiting.clear();
    };
    const source = new EventSource("/api/v1/changes");
    const onChange = (event: MessageEvent<string>) => {
      const { kind } = JSON.parse(event.data) as { kind: string };
      for (const each of [kind, ...(ALSO[kind] ?? [])]) waiting.add(each);
      timer ??= setTimeout(flush, 250);
    };
    let opened = false;
    source.onopen = () => {
      // After a break nothing tells what was missed.
      if (opened) void client.invalidateQueries();
      opened = true;
    };
    source.onmessage = onChange;
    source.addEventListener("change", onChange);
    return () => {
      source.close();
      clearTimeout(timer);
    };
  }, [client]);
}
