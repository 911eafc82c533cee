/** What a cell says, in words and figures. Pure. */

import type { CellExtra, Grid, GridRun, GridTask } from "../../api/types";
import { count, duration } from "../../lib/duration";
import { cellState, GLYPHS } from "../../lib/states";
import type { Place } from "./layout";

export interface Cell {
  readonly run: GridRun;
  readonly task: GridTask;
  /** Absent: the run's version has no such task. */
  readonly state: ReturnType<typeof cellState>;
  readonly extra: CellExtra;
}

const NOTHING: CellExtra = {};

export function cellAt(grid: Grid, place: Place): Cell | undefined {
  const run = grid.runs[place.run];
  const task = grid.tasks[place.task];
  if (!run || !task) return undefined;
  return {
    run,
    task,
    state: cellState(run.cells[place.task] ?? "."),
    extra: run.extra[String(place.task)] ?? NOTHING,
  };
}

/** "3 attempts", "waited 4.2 s", "ran 9.1 s", "19 of 20 succeeded, 1 failed". */
export function facts(cell: Cell): string[] {
  const { a, w, m, n, ns, nf, nr } = cell.extra;
  const list: string[] = [];
  if (n) {
    const parts = [`${ns ?? 0} of ${n} succeeded`];
    if (nf) parts.push(`${nf} failed`);
    if (nr) parts.push(`${nr} running`);
    list.push(parts.join(", "));
  }
  if (w) list.push(`waited ${duration(w / 1000)}`);
  if (m) list.push(`ran ${duration(m / 1000)}`);
  if (a && a > 1) list.push(count(a, "attempt"));
  return list;
}

/** The whole cell as one sentence, for ears. */
export function sentence(cell: Cell, when: string): string {
  const state = cell.state ? GLYPHS[cell.state].word : "no such task in this version";
  const error = cell.extra.e ? `. ${cell.extra.e}` : "";
  return `${cell.task.id}, run of ${when}: ${[state, ...facts(cell)].join(", ")}${error}`;
}

/** Task ids whose cell failed in a run: what `r` on a run's head retries. */
export function failedTasks(grid: Grid, run: GridRun): string[] {
  return grid.tasks.filter((_task, index) => run.cells[index] === "f").map((task) => task.id);
}
