import { useCallback, useMemo, useRef, useState } from "react";
import { api, CHANGE_HEADERS, need, problemOf } from "../../api/client";
import type { Upload } from "../../api/schema";

const CHUNK = 8 * 2 ** 20;
const TRIES = 5;

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

/** Chosen files and their way to the platform: in chunks, resumed after a broken connection and after a reload. */
export function useUpload(project: string) {
  const [files, setFiles] = useState<Picked[]>([]);
  const [progress, setProgress] = useState<Progress | null>(null);
  const abort = useRef<AbortController | null>(null);

  const send = useCallback(async () => {
    abort.current = new AbortController();
    return sendAll(files, project, abort.current.signal, setProgress);
  }, [files, project]);
  const stop = useCallback(() => abort.current?.abort(), []);
  const reset = useCallback(() => {
    setFiles([]);
    setProgress(null);
  }, []);
  return useMemo(() => ({ files, setFiles, progress, send, stop, reset }), [files, progress, send, stop, reset]);
}

async function sendAll(files: Picked[], project: string, signal: AbortSignal, report: (progress: Progress) => void): Promise<string> {
  const { id, offsets, resumed } = await begin(files, project);
  const total = files.reduce((sum, { file }) => sum + file.size, 0);
  let sent = [...offsets.values()].reduce((sum, offset) => sum + offset, 0);
  const [began, before] = [performance.now(), sent];
  for (const { path, file } of files) {
    let offset = offsets.get(path) ?? 0;
    while (offset < file.size || (file.size === 0 && !offsets.has(path))) {
      const next = await sendChunk(id, path, file, offset, signal);
      sent += next - offset;
      offset = next;
      report({ sent, total, resumed, rate: (sent - before) / Math.max(0.001, (performance.now() - began) / 1000) });
      if (file.size === 0) break;
    }
  }
  localStorage.removeItem(memory(files));
  await checked(id, signal);
  return id;
}

/** Waits until the platform has read what came. */
async function checked(id: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const upload = await need(api.GET("/api/v1/uploads/{upload_id}", { params: { path: { upload_id: id } } }));
    if (upload.state === "checked") return;
    if (upload.state === "refused") throw new Error(upload.error ?? "");
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

async function find(id: string): Promise<Upload | undefined> {
  const { data } = await api.GET("/api/v1/uploads/{upload_id}", { params: { path: { upload_id: id } } });
  return data;
}

/** A new upload, or the one that the same files began before. */
async function begin(files: Picked[], project: string): Promise<{ id: string; offsets: Map<string, number>; resumed: boolean }> {
  const known = localStorage.getItem(memory(files));
  if (known) {
    const upload = await find(known);
    if (upload?.state === "receiving") return { id: upload.id, resumed: true, offsets: new Map(upload.files.map((file) => [file.path, file.offset])) };
  }
  const body = { project, files: files.map(({ path, file }) => ({ path, size_bytes: file.size })) };
  const upload = await need(api.POST("/api/v1/uploads", { body }));
  localStorage.setItem(memory(files), upload.id);
  return { id: upload.id, resumed: false, offsets: new Map() };
}

function memory(files: Picked[]): string {
  return `aicp.upload.${files.map(({ path, file }) => `${path}:${file.size}:${file.lastModified}`).join("|")}`;
}

async function sendChunk(id: string, path: string, file: File, offset: number, signal: AbortSignal): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const address = `/api/v1/uploads/${id}/files/${path.split("/").map(encodeURIComponent).join("/")}?offset=${offset}`;
      const response = await fetch(address, { method: "PUT", body: file.slice(offset, offset + CHUNK), headers: { ...CHANGE_HEADERS, "Content-Type": "application/octet-stream" }, signal });
      const body: unknown = await response.json();
      if (!response.ok) throw problemOf(response.status, body, response.headers.get("x-request-id"));
      return (body as { offset: number }).offset;
    } catch (error) {
      // Only a broken connection is worth another try; the platform knows how far it got.
      if (!(error instanceof TypeError) || signal.aborted || attempt === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** attempt));
      const upload = await find(id).catch(() => undefined);
      offset = upload?.files.find((entry) => entry.path === path)?.offset ?? offset;
    }
  }
}
