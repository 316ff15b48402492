import { api, CHANGE_HEADERS, need, Problem, problemOf } from "../api/client";
import type { Upload } from "../api/schema";

const CHUNK = 8 * 2 ** 20;
/** Some three minutes without a byte more: enough for a restart of the platform. */
const TRIES = 16;
const LONGEST_PAUSE = 15_000;
/** Conflicts that a look at the platform's own offset solves. */
const PASSING = ["wrong_offset", "piece_under_way"];

export interface Picked {
  path: string;
  file: File;
}

export interface Progress {
  sent: number;
  total: number;
  rate: number;
  resumed: boolean;
}

/** Sends files in chunks, goes on after a broken connection and after a reload; the upload's id once it was checked. */
export async function sendFiles(files: Picked[], project: string, signal: AbortSignal, report: (progress: Progress) => void): Promise<string> {
  const { id, offsets, resumed } = await begin(files, project);
  const total = files.reduce((sum, { file }) => sum + file.size, 0);
  let sent = [...offsets.values()].reduce((sum, offset) => sum + offset, 0);
  const [began, before] = [performance.now(), sent];
  report({ sent, total, resumed, rate: 0 });
  for (const { path, file } of files) {
    let offset = offsets.get(path) ?? 0;
    while (offset < file.size) {
      const next = await sendChunk(id, path, file, offset, signal);
      sent += next - offset;
      offset = next;
      report({ sent, total, resumed, rate: (sent - before) / Math.max(0.001, (performance.now() - began) / 1000) });
    }
  }
  await checked(id, signal);
  return id;
}

/** What tells whether files are the same as before. */
export function memory(files: Picked[], project: string): string {
  return `aicp.upload.${project}.${files.map(({ path, file }) => `${path}:${file.size}:${file.lastModified}`).join("|")}`;
}

/** Waits until the platform has read what came. */
async function checked(id: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const upload = await find(id).catch((error: unknown) => {
      if (!mayPass(error)) throw error;
    });
    if (upload?.state === "checked") return;
    if (upload?.state === "refused") throw new Error(upload.error ?? "");
    await pause(500, signal);
  }
}

const find = (id: string): Promise<Upload> => need(api.GET("/api/v1/uploads/{upload_id}", { params: { path: { upload_id: id } } }));

/** A new upload, or the one that the same files began before. */
async function begin(files: Picked[], project: string): Promise<{ id: string; offsets: Map<string, number>; resumed: boolean }> {
  const known = localStorage.getItem(memory(files, project));
  if (known) {
    const upload = await find(known).catch(() => undefined);
    const usable = upload && ["receiving", "checking", "checked"].includes(upload.state);
    if (usable) return { id: upload.id, resumed: true, offsets: new Map(upload.files.map((file) => [file.path, file.offset])) };
  }
  const body = { project, files: files.map(({ path, file }) => ({ path, size_bytes: file.size })) };
  const upload = await need(api.POST("/api/v1/uploads", { body }));
  localStorage.setItem(memory(files, project), upload.id);
  return { id: upload.id, resumed: false, offsets: new Map() };
}

/** Where the next chunk starts. */
async function sendChunk(id: string, path: string, file: File, offset: number, signal: AbortSignal): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      if (attempt > 1) {
        const found = (await find(id)).files.find((entry) => entry.path === path)?.offset ?? offset;
        if (found !== offset) return found;
      }
      const address = `/api/v1/uploads/${id}/files/${path.split("/").map(encodeURIComponent).join("/")}?offset=${offset}`;
      const response = await fetch(address, { method: "PUT", body: file.slice(offset, offset + CHUNK), headers: { ...CHANGE_HEADERS, "Content-Type": "application/octet-stream" }, signal });
      const body: unknown = await response.json().catch(() => undefined);
      if (!response.ok) throw problemOf(response.status, body, response.headers.get("x-request-id"));
      return (body as { offset: number }).offset;
    } catch (error) {
      if (signal.aborted || attempt === TRIES || !mayPass(error)) throw error;
      await pause(Math.min(500 * 2 ** attempt, LONGEST_PAUSE), signal);
    }
  }
}

/** A broken connection, a platform that restarts, another offset: what another try may mend. */
function mayPass(error: unknown): boolean {
  if (error instanceof Problem) return PASSING.includes(error.code) || error.status === 429 || (error.status >= 500 && error.status !== 507);
  return error instanceof TypeError;
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
