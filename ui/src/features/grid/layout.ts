/** Where things are in the grid of runs × tasks, and what lies under a point. Pure: no canvas, no DOM. */

import type { Grid, GridRun } from "../../api/types";
import { clock, day as dayOf, dayOfMonth, monthName } from "../../lib/time";

/** Heights of the head, from the top: month or version, bars, trigger, day. */
export const HEAD = { top: 14, bars: 58, trigger: 16, day: 16 } as const;
export const HEAD_HEIGHT = HEAD.top + HEAD.bars + HEAD.trigger + HEAD.day;
const MIN_ROW = 20;
const MAX_ROW = 26;
/** Next starts, drawn hollow after the newest run. */
const PLANNED = 3;
const MIN_COLUMN = 20;
const MAX_COLUMN = 28;
const MIN_NAMES = 120;
const MAX_NAMES = 280;
const NAME_PADDING = 40;
const CHAR = 7.2;

export interface Layout {
  readonly names: number;
  readonly column: number;
  readonly row: number;
  readonly planned: number;
  readonly runs: number;
  readonly tasks: number;
  /** The whole, with names and head. */
  readonly width: number;
  readonly height: number;
}

export interface View {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** A place: `task` is -1 for the run's head. */
export interface Place {
  readonly run: number;
  readonly task: number;
}

export function layOut(
  grid: Pick<Grid, "runs" | "tasks" | "planned">,
  viewWidth: number,
  viewHeight: number,
): Layout {
  const longest = Math.max(0, ...grid.tasks.map((task) => task.id.length));
  const names = Math.round(
    Math.min(MAX_NAMES, viewWidth / 3, Math.max(MIN_NAMES, longest * CHAR + NAME_PADDING)),
  );
  const planned = Math.min(PLANNED, grid.planned.length);
  const room = Math.floor((viewWidth - names) / Math.max(1, grid.runs.length + planned));
  const column = Math.max(MIN_COLUMN, Math.min(MAX_COLUMN, room));
  const tall = Math.floor((viewHeight - HEAD_HEIGHT) / Math.max(1, grid.tasks.length));
  const row = Math.max(MIN_ROW, Math.min(MAX_ROW, tall));
  return {
    names,
    column,
    row,
    planned,
    runs: grid.runs.length,
    tasks: grid.tasks.length,
    width: names + (grid.runs.length + planned) * column,
    height: HEAD_HEIGHT + grid.tasks.length * row,
  };
}

export interface Range {
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

const clamp = (n: number, low: number, high: number) => Math.max(low, Math.min(high, n));

/** The columns of which any part is in view. */
export function columnsIn(layout: Layout, view: View): Range {
  const from = Math.floor(view.left / layout.column);
  const to = Math.ceil((view.left + view.width - layout.names) / layout.column);
  return { from: clamp(from, 0, layout.runs), to: clamp(to, 0, layout.runs) };
}

/** The rows of which any part is in view. */
export function rowsIn(layout: Layout, view: View): Range {
  const from = Math.floor(view.top / layout.row);
  const to = Math.ceil((view.top + view.height - HEAD_HEIGHT) / layout.row);
  return { from: clamp(from, 0, layout.tasks), to: clamp(to, 0, layout.tasks) };
}

/** Left edge of a column on the screen. */
export const columnX = (layout: Layout, view: View, run: number) =>
  layout.names + run * layout.column - view.left;

/** Top edge of a row on the screen. */
export const rowY = (layout: Layout, view: View, task: number) =>
  HEAD_HEIGHT + task * layout.row - view.top;

/** What lies under a point of the view. */
export function hit(layout: Layout, view: View, x: number, y: number): Place | undefined {
  if (x < layout.names || y < 0) return undefined;
  const run = Math.floor((x - layout.names + view.left) / layout.column);
  if (run < 0 || run >= layout.runs) return undefined;
  if (y < HEAD_HEIGHT) return { run, task: -1 };
  const task = Math.floor((y - HEAD_HEIGHT + view.top) / layout.row);
  return task < layout.tasks ? { run, task } : undefined;
}

const STEPS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
  PageUp: [0, -10],
  PageDown: [0, 10],
};

/** Where a key leads from a place; `undefined` if the key moves nothing. Without a place: the newest run. */
export function move(layout: Layout, from: Place | undefined, key: string): Place | undefined {
  if (layout.runs === 0) return undefined;
  const start = from ?? { run: layout.runs - 1, task: -1 };
  if (key === "Home") return { ...start, run: 0 };
  if (key === "End") return { ...start, run: layout.runs - 1 };
  const step = STEPS[key];
  if (!step) return undefined;
  if (!from) return { run: layout.runs - 1, task: Math.min(0, layout.tasks - 1) };
  return {
    run: clamp(start.run + step[0], 0, layout.runs - 1),
    task: clamp(start.task + step[1], -1, layout.tasks - 1),
  };
}

/** The least scrolling that brings a place into view. */
export function scrollTo(layout: Layout, view: View, place: Place): { left: number; top: number } {
  const x = place.run * layout.column;
  const room = view.width - layout.names;
  const y = place.task * layout.row;
  const tall = view.height - HEAD_HEIGHT;
  const near = (at: number, size: number, scroll: number, extent: number) =>
    at < scroll ? at : at + size > scroll + extent ? at + size - extent : scroll;
  return {
    left: near(x, layout.column, view.left, room),
    top: place.task < 0 ? view.top : near(y, layout.row, view.top, tall),
  };
}

export interface Head {
  readonly day: string;
  /** The day differs from that of the column before: bold. */
  readonly newDay: boolean;
  /** The month's name, where it begins. */
  readonly month: string;
}

/** What stands over each column: the day where it changes, else the hour where that changes. */
export function heads(dates: readonly string[], zone: string): Head[] {
  let date = "";
  let month = "";
  let hour = "";
  return dates.map((at) => {
    const own = dayOf(at, zone);
    const ownHour = clock(at, zone).slice(0, 2);
    const newDay = own !== date;
    const newMonth = own.slice(0, 7) !== month;
    const head: Head = {
      day: newDay ? dayOfMonth(at, zone) : ownHour === hour ? "" : `${ownHour}h`,
      newDay,
      month: newMonth ? monthName(at, zone) : "",
    };
    date = own;
    month = own.slice(0, 7);
    hour = ownHour;
    return head;
  });
}

export interface Bar {
  /** Height of the whole bar, of it the foot of waiting. */
  readonly height: number;
  readonly foot: number;
}

/** The longest time that the bars show; one outlier must not flatten all others. */
export function scaleOf(runs: readonly GridRun[]): number {
  const times = runs
    .map((run) => (run.seconds ?? 0) + (run.wait_seconds ?? 0))
    .filter((time) => time > 0)
    .sort((a, b) => a - b);
  const longest = times.at(-1) ?? 1;
  const typical = times[Math.floor((times.length - 1) * 0.9)] ?? longest;
  return Math.min(longest, typical * 3);
}

const LEAST = 3;

export function barOf(run: GridRun, scale: number, tall: number): Bar {
  const wait = run.wait_seconds ?? 0;
  const time = (run.seconds ?? 0) + wait;
  const height = clamp(Math.round((time / scale) * tall), LEAST, tall);
  const foot = wait > 0 && time > 0 ? Math.max(1, Math.round((wait / time) * height)) : 0;
  return { height, foot: Math.min(foot, height - 1) };
}

/** The place of a run and task of the URL. */
export function placeOf(grid: Grid, run?: string, task?: string): Place | undefined {
  if (!run) return undefined;
  const at = grid.runs.findIndex((each) => each.id === run);
  if (at < 0) return undefined;
  return { run: at, task: task ? grid.tasks.findIndex((each) => each.id === task) : -1 };
}
