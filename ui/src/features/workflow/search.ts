/** What the URL of a workflow's page holds. Pure. */

import type { GridSearch } from "../grid/params";
import { type RunFilter, readRunFilter } from "../runs/filter";

export const TABS = ["grid", "graph", "runs", "durations", "calendar", "schedule", "code"] as const;
export type Tab = (typeof TABS)[number];

export const TAB_WORDS: Record<Tab, string> = {
  grid: "Grid",
  graph: "Graph",
  runs: "Runs",
  durations: "Durations",
  calendar: "Calendar",
  schedule: "Schedule",
  code: "Code",
};

export interface WorkflowSearch extends RunFilter, Pick<GridSearch, "runs" | "run" | "task"> {
  tab?: Tab;
  year?: number;
  day?: string;
  n?: number;
  version?: number;
  against?: number;
}

const whole = (value: unknown, most: number) =>
  typeof value === "number" && Number.isInteger(value) && value > 0 && value <= most
    ? value
    : undefined;
const word = (value: unknown) => (typeof value === "string" && value ? value : undefined);

/** Leaves out what it does not know and what is the default. */
export function readSearch(search: Record<string, unknown>): WorkflowSearch {
  const read: WorkflowSearch = readRunFilter(search);
  const tab = TABS.find((each) => each === search.tab);
  if (tab && tab !== "grid") read.tab = tab;
  const pairs = {
    runs: whole(search.runs, 500),
    run: word(search.run),
    task: word(search.task),
    year: whole(search.year, 9999),
    day: word(search.day),
    n: whole(search.n, 100),
    version: whole(search.version, 1_000_000),
    against: whole(search.against, 1_000_000),
  };
  for (const [key, value] of Object.entries(pairs))
    if (value !== undefined) Object.assign(read, { [key]: value });
  return read;
}
