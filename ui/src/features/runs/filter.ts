/** The filters of a list of runs, as the URL holds them. Pure. */

import type { RunState, Trigger } from "../../api/types";
import { GLYPHS, TRIGGER_WORDS } from "../../lib/states";

export const RUN_STATES: readonly RunState[] = [
  "failed",
  "running",
  "queued",
  "succeeded",
  "cancelled",
  "broken",
];

export interface RunFilter {
  state?: RunState;
  trigger?: Trigger;
  search?: string;
  since?: string;
  until?: string;
  by?: "created" | "ended" | "logical";
}

const text = (value: unknown) =>
  typeof value === "string" && value
    ? value
    : typeof value === "number"
      ? String(value)
      : undefined;

export function readRunFilter(search: Record<string, unknown>): RunFilter {
  const filter: RunFilter = {};
  if (typeof search.state === "string" && search.state in GLYPHS)
    filter.state = search.state as RunState;
  if (typeof search.trigger === "string" && search.trigger in TRIGGER_WORDS)
    filter.trigger = search.trigger as Trigger;
  const words = text(search.search);
  if (words) filter.search = words;
  const since = text(search.since);
  const until = text(search.until);
  if (since && !Number.isNaN(Date.parse(since))) filter.since = since;
  if (until && !Number.isNaN(Date.parse(until))) filter.until = until;
  const { by } = search;
  if (by === "created" || by === "ended" || by === "logical") filter.by = by;
  return filter;
}

/** What the window counts, in words. */
export function windowWords(filter: RunFilter): string {
  const verb = { created: "created", ended: "that ended", logical: "for data" }[
    filter.by ?? "ended"
  ];
  if (filter.since && filter.until) return `runs ${verb} in the chosen window`;
  if (filter.since) return `runs ${verb} since`;
  if (filter.until) return `runs ${verb} until`;
  return "all runs, newest first";
}
