/**
 * What the pages read: one query per page. Keys start with the noun, so that a hint of the event stream can
 * name what it makes stale.
 */

import {
  infiniteQueryOptions,
  keepPreviousData,
  type QueryClient,
  queryOptions,
} from "@tanstack/react-query";
import { api, type Query, seg } from "./client";
import type {
  Accounts,
  AuditEntry,
  AuditVerdict,
  ConnectionList,
  Home,
  List,
  Me,
  Run,
  RunEvent,
  RunSummary,
  RunView,
  Status,
  TaskRunView,
  Workflow,
  WorkflowList,
  WorkflowView,
} from "./types";

/**
 * Who is signed in. The event stream says it when it opens (api/events.ts), so nobody asks for it; only when there is
 * no stream, because the password must be changed first, is it read.
 */
export const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: ({ signal }) => api.get<Me>("/me", {}, signal),
  staleTime: Number.POSITIVE_INFINITY,
  enabled: false,
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

/** The facts of a workflow. Its page does not ask for them: they come along with whatever view is open. */
export const workflowQuery = (workflow: string) =>
  queryOptions({
    queryKey: ["workflow", workflow, "facts"],
    queryFn: ({ signal }) => api.get<Workflow>(`/workflows/${seg(workflow)}`, {}, signal),
  });

/** A view of a workflow; the facts that come along are kept for the header. */
async function viewOf(
  { client, signal }: { client: QueryClient; signal: AbortSignal },
  workflow: string,
  query: Query,
): Promise<WorkflowView> {
  const path = `/workflows/${seg(workflow)}/view`;
  const view = await api.get<WorkflowView>(path, query, signal);
  client.setQueryData(workflowQuery(workflow).queryKey, view.workflow);
  return view;
}

/** One view out of those that the page may have. */
function the<T>(part: T | null | undefined): T {
  if (part == null) throw new Error("The daemon answered without the view that was asked for.");
  return part;
}

export const gridQuery = (workflow: string, query: Query = {}) =>
  queryOptions({
    queryKey: ["workflow", workflow, "grid", query],
    queryFn: async (context) =>
      the((await viewOf(context, workflow, { show: "grid", ...query })).grid),
    placeholderData: keepPreviousData,
  });

export const graphQuery = (workflow: string) =>
  queryOptions({
    queryKey: ["workflow", workflow, "graph"],
    queryFn: async (context) => the((await viewOf(context, workflow, { show: "graph" })).graph),
  });

export const durationsQuery = (workflow: string, runs = 100) =>
  queryOptions({
    queryKey: ["workflow", workflow, "durations", runs],
    queryFn: async (context) =>
      the((await viewOf(context, workflow, { show: "durations", runs })).durations),
    placeholderData: keepPreviousData,
  });

export const calendarQuery = (workflow: string, year: number, zone: string) =>
  queryOptions({
    queryKey: ["workflow", workflow, "calendar", year, zone],
    queryFn: async (context) =>
      the((await viewOf(context, workflow, { show: "calendar", year, zone })).calendar),
    placeholderData: keepPreviousData,
  });

export const scheduleQuery = (workflow: string, n: number) =>
  queryOptions({
    queryKey: ["workflow", workflow, "schedule", n],
    queryFn: async (context) =>
      the((await viewOf(context, workflow, { show: "schedule", n })).schedule),
    placeholderData: keepPreviousData,
  });

/** The file of a version, the one it is compared with, and which others there are. */
export const codeQuery = (workflow: string, version?: number, against?: number) =>
  queryOptions({
    queryKey: ["workflow", workflow, "code", version ?? "newest", against ?? "none"],
    queryFn: async (context) =>
      the((await viewOf(context, workflow, { show: "code", version, against })).code),
    placeholderData: keepPreviousData,
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

/** The same as a view of one workflow: its facts come along with the first page. */
export const runsOfQuery = (workflow: string, query: Query = {}) =>
  infiniteQueryOptions({
    ...runsQuery(query),
    queryKey: ["workflow", workflow, "runs", query],
    queryFn: async (context): Promise<List<RunSummary>> => {
      const { pageParam: cursor, signal } = context;
      if (cursor) return api.get<List<RunSummary>>("/runs", { workflow, ...query, cursor }, signal);
      return the((await viewOf(context, workflow, { show: "runs", ...query })).runs);
    },
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

/** The same with the run's commits. */
export const runEventsQuery = (run: string) =>
  queryOptions({
    queryKey: ["run", run, "view", "events"],
    queryFn: ({ client, signal }) => allEvents(run, client, signal),
  });

/** Commits that come with the page, and pages of them that are read at most: 20,000 commits. */
const EVENTS = 500;
const MOST_EVENT_PAGES = 40;

async function allEvents(
  run: string,
  client: QueryClient,
  signal: AbortSignal,
): Promise<RunView & { events: List<RunEvent> }> {
  const view = await api.get<RunView>(`/runs/${seg(run)}/view`, { events: EVENTS }, signal);
  const events: List<RunEvent> = the(view.events);
  for (let page = 1; events.next && page < MOST_EVENT_PAGES; page++) {
    const query = { limit: EVENTS, cursor: events.next };
    const more = await api.get<List<RunEvent>>(`/runs/${seg(run)}/events`, query, signal);
    events.items.push(...more.items);
    events.next = more.next ?? null;
  }
  client.setQueryData(runViewQuery(run).queryKey, view);
  return { ...view, events };
}

/** What of a task run is shown; with the log of the attempt, opened at its first error or at the line. */
export interface TaskRunAsk {
  map_index?: number | undefined;
  attempt?: number | undefined;
  line?: number | undefined;
}

/** The line is where the log is opened, once: a click on another line does not read the page again. */
export const taskRunQuery = (run: string, task: string, { line, ...ask }: TaskRunAsk) =>
  queryOptions({
    queryKey: ["run", run, "task", task, ask.map_index ?? null, ask.attempt ?? null],
    queryFn: ({ signal }) =>
      api.get<TaskRunView>(`/runs/${seg(run)}/tasks/${seg(task)}`, { ...ask, line }, signal),
  });

/** With the forms of all kinds, which come with the binary. */
export const connectionsQuery = queryOptions({
  queryKey: ["connections"],
  queryFn: ({ signal }) => api.get<ConnectionList>("/connections", { forms: true }, signal),
});

export const accountsQuery = queryOptions({
  queryKey: ["accounts"],
  queryFn: ({ signal }) => api.get<Accounts>("/accounts", {}, signal),
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
