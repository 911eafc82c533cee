/** Two columns of params, value by value, and what differs from the run before. Pure. */

export interface ParamRow {
  name: string;
  written: unknown;
  rendered: unknown;
  /** Set where the run before had another value. */
  before?: { value: unknown };
  /** The rendered value is the written one: nothing was filled in. */
  same: boolean;
}

const equal = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** One row per leaf: maps are opened (`checks.limit`), lists are values. */
export function leaves(value: Record<string, unknown>, prefix = ""): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const [key, each] of Object.entries(value)) {
    const name = prefix ? `${prefix}.${key}` : key;
    if (isMap(each) && Object.keys(each).length > 0)
      for (const [inner, leaf] of leaves(each, name)) found.set(inner, leaf);
    else found.set(name, each);
  }
  return found;
}

export function paramRows(
  written: Record<string, unknown>,
  rendered: Record<string, unknown> | null | undefined,
  previous: Record<string, unknown> | null | undefined,
): ParamRow[] {
  const left = leaves(written);
  const right = rendered ? leaves(rendered) : undefined;
  const before = previous ? leaves(previous) : undefined;
  const names = new Set([...left.keys(), ...(right?.keys() ?? [])]);
  return [...names].map((name): ParamRow => {
    const now = right?.get(name);
    const changed = right && before && !equal(now, before.get(name));
    return {
      name,
      written: left.get(name),
      rendered: now,
      same: right !== undefined && equal(left.get(name), now),
      ...(changed ? { before: { value: before.get(name) } } : {}),
    };
  });
}

/** Median of the seconds of runs that succeeded. */
export function usualOf(history: readonly { state: string; seconds?: number | null }[]) {
  const all = history
    .flatMap((each) => (each.state === "succeeded" && each.seconds != null ? [each.seconds] : []))
    .sort((a, b) => a - b);
  if (all.length === 0) return undefined;
  const middle = Math.floor(all.length / 2);
  const upper = all[middle] ?? 0;
  return all.length % 2 ? upper : ((all[middle - 1] ?? upper) + upper) / 2;
}
