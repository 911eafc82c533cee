/** What the pages do. Each takes `dryRun` where the contract offers it, and then answers with a `Plan` instead. */

import { api, seg } from "./client";
import type { Plan, Run, WorkflowSummary } from "./types";

export type TaskRef = string | { task: string; map_index: number };

export interface TriggerBody {
  params?: Record<string, unknown>;
  logical_date?: string;
  note?: string;
}

export interface RetryBody {
  tasks?: TaskRef[];
  downstream?: boolean;
  what?: "failed" | "tasks" | "all";
  version?: "pinned" | "newest";
  reason?: string;
}

export interface MarkBody {
  state: "succeeded" | "failed";
  tasks?: TaskRef[];
  reason?: string;
}

const DRY = { dry_run: true } as const;

export const triggerRun = (workflow: string, body: TriggerBody, key: string) =>
  api.post<Run>(`/workflows/${seg(workflow)}/runs`, body, {}, { "idempotency-key": key });
export const planTrigger = (workflow: string, body: TriggerBody) =>
  api.post<Plan>(`/workflows/${seg(workflow)}/runs`, body, DRY);

export const setPaused = (workflow: string, paused: boolean, reason?: string) =>
  api.post<WorkflowSummary>(
    `/workflows/${seg(workflow)}/${paused ? "pause" : "unpause"}`,
    reason ? { reason } : {},
  );

export const planPaused = (workflow: string, paused: boolean) =>
  api.post<Plan>(`/workflows/${seg(workflow)}/${paused ? "pause" : "unpause"}`, {}, DRY);

export const retryRun = (run: string, body: RetryBody) =>
  api.post<Run>(`/runs/${seg(run)}/retry`, body);
export const planRetry = (run: string, body: RetryBody) =>
  api.post<Plan>(`/runs/${seg(run)}/retry`, body, DRY);

export const markRun = (run: string, body: MarkBody) =>
  api.post<Run>(`/runs/${seg(run)}/mark`, body);
export const planMark = (run: string, body: MarkBody) =>
  api.post<Plan>(`/runs/${seg(run)}/mark`, body, DRY);

export const cancelRun = (run: string, reason?: string) =>
  api.post<Run>(`/runs/${seg(run)}/cancel`, reason ? { reason } : {});
export const planCancel = (run: string) => api.post<Plan>(`/runs/${seg(run)}/cancel`, {}, DRY);

export const repairRun = (run: string, reason?: string) =>
  api.post<Run>(`/runs/${seg(run)}/repair`, reason ? { reason } : {});

export const setNote = (run: string, note: string) => api.patch<Run>(`/runs/${seg(run)}`, { note });

export const login = (name: string, password: string) =>
  api.post<void>("/auth/login", { name, password });
export const logout = () => api.post<void>("/auth/logout");
export const setup = (token: string, name: string, password: string) =>
  api.post<void>("/auth/setup", { token, name, password });
export const changePassword = (current: string, next: string) =>
  api.post<void>("/me/password", { current, new: next });
