/** What the list shows and in which order. Pure: the whole list is here, so a filter answers at once. */

import type { Attention, WorkflowSummary } from "../../api/types";

export const SORTS = ["attention", "name", "last_run", "next_fire"] as const;
export type Sort = (typeof SORTS)[number];

export interface WorkflowFilter {
  search?: string;
  tag?: string;
  owner?: string;
  state?: Attention;
  sort?: Sort;
}

const ATTENTION: readonly Attention[] = ["failing", "late", "running", "ok", "none", "paused"];

const isAttention = (text: unknown): text is Attention => ATTENTION.includes(text as Attention);
const isSort = (text: unknown): text is Sort => SORTS.includes(text as Sort);
const words = (value: unknown) => (typeof value === "string" && value ? value : undefined);

/** The URL as a filter; what it does not know it leaves out. */
export function readFilter(search: Record<string, unknown>): WorkflowFilter {
  const filter: WorkflowFilter = {};
  // The router reads `?search=42` as a number.
  const text = words(typeof search.search === "number" ? String(search.search) : search.search);
  const tag = words(search.tag);
  const owner = words(search.owner);
  if (text) filter.search = text;
  if (tag) filter.tag = tag;
  if (owner) filter.owner = owner;
  if (isAttention(search.state)) filter.state = search.state;
  if (isSort(search.sort) && search.sort !== "attention") filter.sort = search.sort;
  return filter;
}

function matches(workflow: WorkflowSummary, filter: WorkflowFilter): boolean {
  if (filter.tag && !workflow.tags.includes(filter.tag)) return false;
  if (filter.owner && workflow.owner !== filter.owner) return false;
  const text = [workflow.id, workflow.description, workflow.owner, ...workflow.tags]
    .join(" ")
    .toLowerCase();
  return (filter.search ?? "")
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

const byName = (a: WorkflowSummary, b: WorkflowSummary) => a.id.localeCompare(b.id);

const ORDERS: Record<Sort, (a: WorkflowSummary, b: WorkflowSummary) => number> = {
  attention: (a, b) =>
    ATTENTION.indexOf(a.attention) - ATTENTION.indexOf(b.attention) || byName(a, b),
  name: byName,
  last_run: (a, b) =>
    (b.last_run?.created_at ?? "").localeCompare(a.last_run?.created_at ?? "") || byName(a, b),
  next_fire: (a, b) => (a.next_fire ?? "9").localeCompare(b.next_fire ?? "9") || byName(a, b),
};

export interface Filtered {
  rows: WorkflowSummary[];
  /** How many each attention has under the other filters. */
  counts: Record<Attention, number>;
  total: number;
}

export function filterWorkflows(
  items: readonly WorkflowSummary[],
  filter: WorkflowFilter,
): Filtered {
  const counts: Record<Attention, number> = {
    failing: 0,
    late: 0,
    running: 0,
    ok: 0,
    none: 0,
    paused: 0,
  };
  const matching = items.filter((workflow) => matches(workflow, filter));
  for (const workflow of matching) counts[workflow.attention] += 1;
  const rows = matching
    .filter((workflow) => !filter.state || workflow.attention === filter.state)
    .sort(ORDERS[filter.sort ?? "attention"]);
  return { rows, counts, total: matching.length };
}
