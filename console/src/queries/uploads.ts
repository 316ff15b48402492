import { useSyncExternalStore } from "react";
import { api, need } from "../api/client";
import type { ImportRequest, Job } from "../api/schema";
import { expectEnd } from "./jobs";
import { memory, sendFiles, type Picked, type Progress } from "./uploadFiles";

export interface Wanted {
  model: string;
  project: string;
  files: Picked[];
  /** The import that follows, but for its source. */
  request: Omit<ImportRequest, "source">;
}

/** An upload of this page on its way; when all has arrived its import takes its place among the jobs. */
export interface Sending extends Wanted {
  id: number;
  state: "sending" | "failed";
  progress: Progress | null;
  error?: unknown;
}

let sendings: readonly Sending[] = [];
let last = 0;
const listeners = new Set<() => void>();
const aborts = new Map<number, AbortController>();

/** Every upload of this page. */
export const allSendings = (): readonly Sending[] => sendings;

/** Every upload of this page, whatever part of the console is shown. */
export const useSendings = (): readonly Sending[] => useSyncExternalStore(subscribe, allSendings);

/** Whether the same files are under way to the same project. */
export const isUnderWay = (files: Picked[], project: string): boolean =>
  sendings.some((sending) => sending.state === "sending" && memory(sending.files, sending.project) === memory(files, project));

/** Sends the files and imports them; goes on whatever page is shown. The import's job, undefined when it came to nothing. */
export function startUpload(wanted: Wanted): Promise<Job | undefined> {
  last += 1;
  const sending: Sending = { ...wanted, id: last, state: "sending", progress: null };
  show([...sendings, sending]);
  return run(sending);
}

/** Sends the rest of a failed one. */
export function retryUpload(id: number): Promise<Job | undefined> {
  const sending = sendings.find((each) => each.id === id);
  if (!sending) return Promise.resolve(undefined);
  change(id, { state: "sending", error: undefined });
  return run(sending);
}

/** Stops an upload and drops it from the list; the platform keeps what came for a day. */
export function stopUpload(id: number): void {
  aborts.get(id)?.abort();
  show(sendings.filter((sending) => sending.id !== id));
}

/** Stops all: the user is gone. */
export function stopUploads(): void {
  for (const { id } of sendings) stopUpload(id);
}

async function run({ id, model, project, files, request }: Sending): Promise<Job | undefined> {
  const abort = new AbortController();
  aborts.set(id, abort);
  try {
    const upload_id = await sendFiles(files, project, abort.signal, (progress) => change(id, { progress }));
    const body: ImportRequest = { ...request, source: { kind: "upload", upload_id } };
    const job = await need(api.POST("/api/v1/models/{name}/import", { params: { path: { name: model } }, body, signal: abort.signal }));
    expectEnd(job.id);
    show(sendings.filter((sending) => sending.id !== id));
    return job;
  } catch (error) {
    if (!abort.signal.aborted) change(id, { state: "failed", error });
    return undefined;
  } finally {
    aborts.delete(id);
  }
}

function change(id: number, changes: Partial<Sending>): void {
  show(sendings.map((sending) => (sending.id === id ? { ...sending, ...changes } : sending)));
}

function show(next: readonly Sending[]): void {
  sendings = next;
  // Leaving the console altogether ends what is under way, so the browser asks.
  window.onbeforeunload = next.some((sending) => sending.state === "sending") ? (event) => event.preventDefault() : null;
  listeners.forEach((listener) => listener());
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
