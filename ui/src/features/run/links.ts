/** Where things of a run are. */

export const RUN_TABS = ["timeline", "graph", "tasks", "events", "params"] as const;
export type RunTab = (typeof RUN_TABS)[number];

export const TASK_TABS = ["log", "params", "output", "items", "history", "instances"] as const;
export type TaskTab = (typeof TASK_TABS)[number];

export interface TaskSearch {
  map_index?: number;
  attempt?: number;
  /** A second attempt beside it. */
  with?: number;
  line?: number;
  tab?: TaskTab;
}

const positive = (value: unknown, least: number): number | undefined => {
  const number = Number(value);
  return value !== undefined && value !== "" && Number.isSafeInteger(number) && number >= least
    ? number
    : undefined;
};

/** Reads the search of a task run's page; what does not fit is left out. */
export function taskSearch(search: Record<string, unknown>): TaskSearch {
  const found: TaskSearch = {};
  const map = positive(search.map_index, 0);
  if (map !== undefined) found.map_index = map;
  const attempt = positive(search.attempt, 1);
  if (attempt !== undefined) found.attempt = attempt;
  const beside = positive(search.with, 1);
  if (beside !== undefined) found.with = beside;
  const line = positive(search.line, 1);
  if (line !== undefined) found.line = line;
  const tab = TASK_TABS.find((each) => each === search.tab);
  if (tab && tab !== "log") found.tab = tab;
  return found;
}

/** For `<Link {...taskLink(...)}>`. */
export function taskLink(run: string, task: string, mapIndex?: number | null, more?: TaskSearch) {
  return {
    to: "/runs/$run/tasks/$task",
    params: { run, task },
    search: { ...(mapIndex == null ? {} : { map_index: mapIndex }), ...more },
  } as const;
}
