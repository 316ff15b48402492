import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, need } from "../api/client";
import type { Job, JobState } from "../api/schema";

interface Wanted {
  offset?: number;
  limit?: number;
  search?: string;
  state?: JobState;
  kind?: string;
  project?: string;
  sort?: string;
}

export const jobsQuery = (query: Wanted) =>
  queryOptions({
    queryKey: ["job", "list", query],
    placeholderData: keepPreviousData,
    queryFn: () => need(api.GET("/api/v1/jobs", { params: { query } })),
  });

const LIVE = new Set<JobState>(["queued", "running"]);

export const jobQuery = (id: string) =>
  queryOptions({
    queryKey: ["job", "one", id],
    queryFn: () => need(api.GET("/api/v1/jobs/{job_id}", { params: { path: { job_id: id } } })),
    refetchInterval: (query) => (query.state.data && LIVE.has(query.state.data.state) ? 2000 : false),
  });

export const cancelJob = (id: string) => need(api.POST("/api/v1/jobs/{job_id}/cancel", { params: { path: { job_id: id } } }));

export const jobPath = (job: Job): string => `/platform/jobs?job=${job.id}`;
/** Jobs whose end is told: those seen alive, and those that this page started. */
export const awaited = new Set<string>();

export const expectEnd = (id: string) => awaited.add(id);

/** Where the result of a job is seen. */
export function jobTarget(job: Job): string {
  const model = job.result.model ?? job.parameters.model ?? job.parameters.name;
  if (job.kind === "model_import" && job.state === "succeeded" && typeof model === "string") return `/models/${model}`;
  if (job.kind === "engine_install" && job.state === "succeeded") return "/platform/engines";
  return jobPath(job);
}
