import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";
import type { Batch, BatchCreate, BatchState, File as PlatformFile } from "../api/schema";

interface Wanted {
  offset?: number;
  limit?: number;
  search?: string;
  state?: BatchState;
  project?: string;
  sort?: string;
}

const ENDED = new Set<BatchState>(["completed", "failed", "expired", "cancelled"]);
const LOOK_MS = 2000;

/** Whether there is still something to come of a batch. */
export const isLive = (batch: Batch): boolean => !ENDED.has(batch.state);

/** Whether a batch can still be asked to stop. */
export const isCancelable = (batch: Batch): boolean => batch.state === "validating" || batch.state === "in_progress";

export const batchesQuery = (query: Wanted) =>
  queryOptions({
    queryKey: ["batch", "list", query],
    placeholderData: keepPreviousData,
    queryFn: () => need(api.GET("/api/v1/batches", { params: { query } })),
    refetchInterval: ({ state }) => (state.data?.items.some(isLive) ? LOOK_MS : false),
  });

export const batchQuery = (id: string) =>
  queryOptions({
    queryKey: ["batch", "one", id],
    queryFn: () => need(api.GET("/api/v1/batches/{batch_id}", { params: { path: { batch_id: id } } })),
    refetchInterval: ({ state }) => (state.data && isLive(state.data) ? LOOK_MS : false),
  });

export const cancelBatch = (id: string) => need(api.POST("/api/v1/batches/{batch_id}/cancel", { params: { path: { batch_id: id } } }));

export interface Order extends Omit<BatchCreate, "input_file_id"> {
  project: string;
  file: File;
}

/** Sends the file, then orders a batch over it. */
export async function orderBatch({ project, file, ...wanted }: Order): Promise<Batch> {
  const sent = await sendFile(file, project);
  return need(api.POST("/api/v1/batches", { body: { ...wanted, input_file_id: sent.id } }));
}

function sendFile(file: File, project: string): Promise<PlatformFile> {
  // The bytes go as they are; the generated type knows them only as a text.
  const body = file as unknown as string;
  return need(api.POST("/api/v1/files", { params: { query: { filename: file.name, project } }, body, bodySerializer: (bytes) => bytes, headers: { "Content-Type": "application/octet-stream" } }));
}

/** Where the browser gets the bytes of a file. */
export const contentPath = (id: string): string => `/api/v1/files/${encodeURIComponent(id)}/content`;
