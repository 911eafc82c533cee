/**
 * What the pages read: one query per page. Keys start with the noun, so that a hint of the event stream can
 * name what it makes stale.
 */

import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, type Query, seg } from "./client";
import type {
  ApiToken,
  AuditEntry,
  AuditVerdict,
  Calendar,
  ConnectionKind,
  ConnectionList,
  Durations,
  Graph,
  Grid,
  Home,
  List,
  Me,
  Run,
  RunEvent,
  RunSummary,
  RunView,
  SchedulePreview,
  Status,
  TaskRunView,
  User,
  VersionSource,
  VersionSummary,
  Workflow,
  WorkflowList,
} from "./types";

export const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: ({ signal }) => api.get<Me>("/me", {}, signal),
  staleTime: Number.POSITIVE_INFINITY,
  retry: false,
});

export const homeQuery = queryOptions({
  queryKey: ["home"],
  queryFn: ({ signal }) => api.get<Home>("/home", {}, signal),
});

export const workflowsQuery = (query: Query = {}) =>
  queryOptions({
    queryKey: ["workflows", query],
    queryFn: ({ signal }) => allWorkflows(query, signal),
    placeholderData: keepPreviousData,
  });

/** The list is scanned and filtered as a whole, so all of it comes: one call up to 500, more only beyond. */
async function allWorkflows(query: Query, signal: AbortSignal): Promise<WorkflowList> {
  const first = await api.get<WorkflowList>("/workflows", { limit: 500, ...query }, signal);
  let cursor = first.next;
  while (cursor) {
    const more = await api.get<WorkflowList>(
      "/workflows",
      { limit: 500, ...query, cursor },
      signal,
    );
    first.items.push(...more.items);
    cursor = more.next;
  }
  return { ...first, next: null };
}

export const workflowQuery = (workflow: string) =>
  queryOptions({
    queryKey: ["workflow", workflow],
    queryFn: ({ signal }) => api.get<Workflow>(`/workflows/${seg(workflow)}`, {}, signal),
  });

export const gridQuery = (workflow: string, query: Query = {}) =>
  queryOptions({
    queryKey: ["workflow", workflow, "grid", query],
    queryFn: ({ signal }) => api.get<Grid>(`/workflows/${seg(workflow)}/grid`, query, signal),
    placeholderData: keepPreviousData,
  });

export const graphQuery = (workflow: string, version?: number) =>
  queryOptions({
    queryKey: ["workflow", workflow, "graph", version ?? "newest"],
    queryFn: ({ signal }) =>
      api.get<Graph>(`/workflows/${seg(workflow)}/graph`, { version }, signal),
  });

export const durationsQuery = (workflow: string, runs = 100) =>
  queryOptions({
    queryKey: ["workflow", workflow, "durations", runs],
    queryFn: ({ signal }) =>
      api.get<Durations>(`/workflows/${seg(workflow)}/durations`, { runs }, signal),
    placeholderData: keepPreviousData,
  });

export const calendarQuery = (workflow: string, year: number, zone: string) =>
  queryOptions({
    queryKey: ["workflow", workflow, "calendar", year, zone],
    queryFn: ({ signal }) =>
      api.get<Calendar>(`/workflows/${seg(workflow)}/calendar`, { year, zone }, signal),
    placeholderData: keepPreviousData,
  });

export const scheduleQuery = (workflow: string, n: number, zone?: string) =>
  queryOptions({
    queryKey: ["workflow", workflow, "schedule", n, zone ?? "own"],
    queryFn: ({ signal }) =>
      api.get<SchedulePreview>(`/workflows/${seg(workflow)}/schedule`, { n, zone }, signal),
    placeholderData: keepPreviousData,
  });

export const versionsQuery = (workflow: string) =>
  queryOptions({
    queryKey: ["workflow", workflow, "versions"],
    queryFn: ({ signal }) =>
      api.get<List<VersionSummary>>(`/workflows/${seg(workflow)}/versions`, { limit: 200 }, signal),
  });

/** A version never changes. */
export const versionQuery = (workflow: string, version: number) =>
  queryOptions({
    queryKey: ["version", workflow, version],
    queryFn: ({ signal }) =>
      api.get<VersionSource>(`/workflows/${seg(workflow)}/versions/${version}`, {}, signal),
    staleTime: Number.POSITIVE_INFINITY,
  });

/** Runs by page: the newest 50, more on demand. */
export const runsQuery = (query: Query = {}) =>
  infiniteQueryOptions({
    queryKey: ["runs", query],
    queryFn: ({ pageParam, signal }) =>
      api.get<List<RunSummary>>("/runs", { ...query, cursor: pageParam }, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.next ?? undefined,
    placeholderData: keepPreviousData,
  });

export const runQuery = (run: string) =>
  queryOptions({
    queryKey: ["run", run, "summary"],
    queryFn: ({ signal }) => api.get<Run>(`/runs/${seg(run)}`, {}, signal),
  });

export const runViewQuery = (run: string) =>
  queryOptions({
    queryKey: ["run", run, "view"],
    queryFn: ({ signal }) => api.get<RunView>(`/runs/${seg(run)}/view`, {}, signal),
  });

export const runEventsQuery = (run: string) =>
  queryOptions({
    queryKey: ["run", run, "events"],
    queryFn: ({ signal }) => allEvents(run, signal),
  });

/** Pages of a run's events that are read at most: 20,000 commits. */
const MOST_EVENT_PAGES = 40;

async function allEvents(run: string, signal: AbortSignal): Promise<List<RunEvent>> {
  const path = `/runs/${seg(run)}/events`;
  const all = await api.get<List<RunEvent>>(path, { limit: 500 }, signal);
  for (let page = 1; all.next && page < MOST_EVENT_PAGES; page++) {
    const more = await api.get<List<RunEvent>>(path, { limit: 500, cursor: all.next }, signal);
    all.items.push(...more.items);
    all.next = more.next ?? null;
  }
  return all;
}

export const taskRunQuery = (run: string, task: string, mapIndex?: number) =>
  queryOptions({
    queryKey: ["run", run, "task", task, mapIndex ?? null],
    queryFn: ({ signal }) =>
      api.get<TaskRunView>(`/runs/${seg(run)}/tasks/${seg(task)}`, { map_index: mapIndex }, signal),
  });

export const connectionsQuery = queryOptions({
  queryKey: ["connections"],
  queryFn: ({ signal }) => api.get<ConnectionList>("/connections", {}, signal),
});

/** The kinds come with the binary. */
export const connectionKindsQuery = queryOptions({
  queryKey: ["connection-kinds"],
  queryFn: ({ signal }) => api.get<{ items: ConnectionKind[] }>("/connections/kinds", {}, signal),
  staleTime: Number.POSITIVE_INFINITY,
});

export const usersQuery = queryOptions({
  queryKey: ["users"],
  queryFn: ({ signal }) => api.get<List<User>>("/users", { limit: 500 }, signal),
});

export const tokensQuery = queryOptions({
  queryKey: ["tokens"],
  queryFn: ({ signal }) => api.get<List<ApiToken>>("/tokens", { limit: 500 }, signal),
});

export const auditQuery = (query: Query = {}) =>
  infiniteQueryOptions({
    queryKey: ["audit", query],
    queryFn: ({ pageParam, signal }) =>
      api.get<List<AuditEntry>>("/audit", { ...query, cursor: pageParam }, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.next ?? undefined,
    placeholderData: keepPreviousData,
  });

/** Reads the whole chain, so only when somebody asks. */
export const auditVerifyQuery = queryOptions({
  queryKey: ["audit-verify"],
  queryFn: ({ signal }) => api.get<AuditVerdict>("/audit/verify", {}, signal),
  enabled: false,
});

export const statusQuery = queryOptions({
  queryKey: ["status"],
  queryFn: ({ signal }) => api.get<Status>("/status", {}, signal),
});
