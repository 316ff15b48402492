import { useCallback, useEffect, useState } from "react";
import { problemOf } from "../../api/client";

const KEEP = 5000;

interface Log {
  source: string;
  lines: string[];
  error: unknown;
}

/** The lines of a text stream as they come; only the newest are kept. A paused log stands still. */
export function useLog(address: string | undefined, follow: boolean): { lines: string[]; error: unknown; restart: () => void } {
  const [log, setLog] = useState<Log>({ source: "", lines: [], error: null });
  const [round, setRound] = useState(0);
  const restart = useCallback(() => setRound((current) => current + 1), []);

  useEffect(() => {
    if (!address || !follow) return;
    const stop = new AbortController();
    let fresh = true;
    const add = (lines: string[]) => {
      // The stream begins with the tail, so what was shown before is replaced by its first lines.
      const first = fresh;
      fresh = false;
      setLog((current) => ({ source: address, error: null, lines: (first ? lines : [...current.lines, ...lines]).slice(-KEEP) }));
    };
    readLines(`${address}&tail=1000&follow=true`, stop.signal, add).catch((error: unknown) => {
      if (!stop.signal.aborted) setLog({ source: address, lines: [], error });
    });
    return () => stop.abort();
  }, [address, follow, round]);

  const own = log.source === address;
  return { lines: own ? log.lines : [], error: own ? log.error : null, restart };
}

async function readLines(address: string, signal: AbortSignal, add: (lines: string[]) => void): Promise<void> {
  const response = await fetch(address, { signal });
  if (!response.ok || !response.body) throw problemOf(response.status, await response.json().catch(() => undefined), response.headers.get("x-request-id"));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop() ?? "";
    if (parts.length > 0) add(parts);
  }
  if (rest) add([rest]);
}
