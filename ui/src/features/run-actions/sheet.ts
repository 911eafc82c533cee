/**
 * Which action sheet is open is part of the URL, so any page can open any of them and a link can be sent:
 * `?sheet=retry&of=RUN&pick=validate,load`.
 */

import { useNavigate, useSearch } from "@tanstack/react-router";

export const SHEETS = ["trigger", "retry", "mark", "cancel", "pause"] as const;
export type SheetKind = (typeof SHEETS)[number];

export interface SheetSearch {
  sheet?: SheetKind;
  /** The run's id; for `trigger` and `pause` the workflow's. */
  of?: string;
  /** Chosen tasks, `task` or `task[3]`, joined by commas. */
  pick?: string;
}

export function validateSheet(search: Record<string, unknown>): SheetSearch {
  const sheet = SHEETS.find((kind) => kind === search.sheet);
  if (!sheet || typeof search.of !== "string") return {};
  return {
    sheet,
    of: search.of,
    ...(typeof search.pick === "string" && search.pick ? { pick: search.pick } : {}),
  };
}

/** Adds the sheet to the search of the page one is on; for `<Link search={...}>`. */
export function withSheet(sheet: SheetKind, of: string, pick?: readonly string[]) {
  return (previous: object) => ({
    ...previous,
    sheet,
    of,
    pick: pick && pick.length > 0 ? pick.join(",") : undefined,
  });
}

const without = (previous: object) => ({
  ...previous,
  sheet: undefined,
  of: undefined,
  pick: undefined,
});

export function useSheet() {
  const navigate = useNavigate();
  const { sheet, of, pick } = useSearch({ strict: false }) as SheetSearch;
  return {
    sheet,
    of,
    pick: pick ? pick.split(",") : [],
    open: (kind: SheetKind, subject: string, tasks?: readonly string[]) =>
      void navigate({ to: ".", search: withSheet(kind, subject, tasks) as never }),
    close: () => void navigate({ to: ".", search: without as never, replace: true }),
  };
}
