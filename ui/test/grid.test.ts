import { describe, expect, it } from "vitest";
import type { Grid, GridRun } from "../src/api/types";
import { cellAt, facts, failedTasks, sentence } from "../src/features/grid/cell";
import {
  barOf,
  columnsIn,
  HEAD_HEIGHT,
  heads,
  hit,
  layOut,
  move,
  placeOf,
  rowsIn,
  scaleOf,
  scrollTo,
} from "../src/features/grid/layout";

const run = (id: string, logical: string, more: Partial<GridRun> = {}): GridRun => ({
  id,
  state: "succeeded",
  trigger: "schedule",
  logical_date: logical,
  created_at: logical,
  version: 1,
  version_changed: false,
  masked: false,
  generation: 1,
  cells: "sf",
  extra: {},
  ...more,
});

const day = (i: number) => new Date(Date.UTC(2026, 0, 1 + i, 2, 30)).toISOString();

function year(): Grid {
  return {
    workflow: "w",
    tasks: Array.from({ length: 200 }, (_, i) => ({ id: `task_${i}`, type: "sql", depth: 0 })),
    runs: Array.from({ length: 365 }, (_, i) => run(`r${i}`, day(i), { cells: "s".repeat(200) })),
    more: false,
    planned: [],
  };
}

describe("grid layout", () => {
  const grid = year();
  const layout = layOut(grid, 1360, 700);
  const view = { left: layout.width - 1360, top: 0, width: 1360, height: 700 };

  it("shows the newest run at the right edge and only what fits", () => {
    const columns = columnsIn(layout, view);
    const rows = rowsIn(layout, view);
    expect(columns.to).toBe(365);
    expect(columns.to - columns.from).toBeLessThan(70);
    expect(rows).toEqual({ from: 0, to: Math.ceil((700 - HEAD_HEIGHT) / layout.row) });
  });
  it("finds what lies under a point, head and names included", () => {
    const last = { run: 364, task: 3 };
    expect(hit(layout, view, 1359, HEAD_HEIGHT + 3 * layout.row + 5)).toEqual(last);
    expect(hit(layout, view, 1359, 20)).toEqual({ run: 364, task: -1 });
    expect(hit(layout, view, 30, 300)).toBeUndefined();
  });
  it("moves by keys and stays inside", () => {
    expect(move(layout, undefined, "ArrowDown")).toEqual({ run: 364, task: 0 });
    expect(move(layout, { run: 364, task: 0 }, "ArrowRight")).toEqual({ run: 364, task: 0 });
    expect(move(layout, { run: 364, task: 0 }, "ArrowUp")).toEqual({ run: 364, task: -1 });
    expect(move(layout, { run: 10, task: 7 }, "Home")).toEqual({ run: 0, task: 7 });
    expect(move(layout, { run: 10, task: 7 }, "x")).toBeUndefined();
  });
  it("scrolls no more than it must", () => {
    expect(scrollTo(layout, view, { run: 364, task: 2 })).toEqual({ left: view.left, top: 0 });
    expect(scrollTo(layout, view, { run: 0, task: 199 })).toEqual({
      left: 0,
      top: 200 * layout.row - (700 - HEAD_HEIGHT),
    });
  });
  it("widens few columns and keeps many readable", () => {
    expect(layOut({ ...grid, runs: grid.runs.slice(0, 10) }, 1360, 700).column).toBe(28);
    expect(layout.column).toBe(20);
  });
  it("finds the place of a link", () => {
    expect(placeOf(grid, "r3", "task_5")).toEqual({ run: 3, task: 5 });
    expect(placeOf(grid, "r3")).toEqual({ run: 3, task: -1 });
    expect(placeOf(grid, "gone")).toBeUndefined();
  });
});

describe("column heads", () => {
  it("are bold where the day changes in the reader's zone", () => {
    const dates = ["2026-11-21T22:40:00Z", "2026-11-21T22:50:00Z", "2026-11-21T23:20:00Z"];
    expect(heads(dates, "UTC").map((h) => h.newDay)).toEqual([true, false, false]);
    expect(heads(dates, "UTC").map((h) => h.day)).toEqual(["21", "", "23h"]);
    expect(heads(dates, "Europe/Berlin").map((h) => h.newDay)).toEqual([true, false, true]);
    expect(heads(dates, "Europe/Berlin").map((h) => h.month)).toEqual(["Nov", "", ""]);
  });
});

describe("bars", () => {
  it("have a foot of waiting and are never flattened by one outlier", () => {
    const usual = Array.from({ length: 20 }, (_, i) => run(`r${i}`, day(i), { seconds: 60 }));
    const scale = scaleOf([...usual, run("x", day(30), { seconds: 6000 })]);
    expect(scale).toBe(180);
    const bar = barOf(run("y", day(1), { seconds: 45, wait_seconds: 45 }), 180, 52);
    expect(bar.height).toBe(26);
    expect(bar.foot).toBe(13);
    expect(barOf(run("z", day(1), { seconds: 0.1 }), 180, 52).height).toBe(3);
  });
});

describe("a cell", () => {
  const grid: Grid = {
    workflow: "w",
    tasks: [
      { id: "fetch", type: "http", depth: 0 },
      { id: "check", type: "quality", depth: 1 },
    ],
    runs: [
      run("r0", day(0), {
        cells: "sf",
        extra: { 0: { n: 20, ns: 19, nf: 1 }, 1: { a: 3, w: 4200, m: 9100, e: "61 % below" } },
      }),
      run("r1", day(1), { cells: "s." }),
    ],
    more: false,
    planned: [],
  };
  it("says attempts, wait and run", () => {
    const cell = cellAt(grid, { run: 0, task: 1 });
    expect(cell && facts(cell)).toEqual(["waited 4.2 s", "ran 9.1 s", "3 attempts"]);
    expect(cell && sentence(cell, "1 Jan")).toBe(
      "check, run of 1 Jan: Failed, waited 4.2 s, ran 9.1 s, 3 attempts. 61 % below",
    );
  });
  it("counts mapped instances", () => {
    const cell = cellAt(grid, { run: 0, task: 0 });
    expect(cell && facts(cell)).toEqual(["19 of 20 succeeded, 1 failed"]);
  });
  it("says when a version had no such task", () => {
    const cell = cellAt(grid, { run: 1, task: 1 });
    expect(cell && sentence(cell, "2 Jan")).toContain("no such task in this version");
  });
  it("names what a retry of the run takes", () => {
    const first = grid.runs[0];
    expect(first && failedTasks(grid, first)).toEqual(["check"]);
  });
});
