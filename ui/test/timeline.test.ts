import { describe, expect, it } from "vitest";
import type { Attempt, RunView, TaskRun } from "../src/api/types";
import { eventWords } from "../src/features/run/eventWords";
import { byUrgency } from "../src/features/run/order";
import { piecesOf, spread, stack } from "../src/features/run/pieces";
import { reasonParts } from "../src/features/run/reason";
import { makeScale, merge, ticks } from "../src/features/run/scale";
import { timeline } from "../src/features/run/timeline";

const T0 = Date.parse("2026-11-22T02:30:00Z");
const at = (seconds: number) => new Date(T0 + seconds * 1000).toISOString();
const sec = (ms: number) => (ms - T0) / 1000;

function attempt(n: number, more: Partial<Attempt>): Attempt {
  return {
    n,
    dispatch_no: n,
    try_no: n,
    generation: 1,
    cause_words: "",
    log: true,
    ...more,
  };
}

function task(id: string, more: Partial<TaskRun> = {}): TaskRun {
  return {
    task: id,
    type: "shell",
    state: "succeeded",
    generation: 1,
    depends_on: [],
    attempts: [],
    ...more,
  };
}

describe("pieces", () => {
  it("keeps waits, attempts and retry waits apart", () => {
    const pieces = piecesOf(
      task("t", {
        state: "failed",
        attempts: [
          attempt(2, {
            ready_at: at(20),
            started_at: at(21),
            ended_at: at(30),
            outcome: "failed",
          }),
          attempt(1, { ready_at: at(0), started_at: at(5), ended_at: at(15), outcome: "failed" }),
        ],
      }),
      T0,
    );
    expect(pieces.map((p) => [p.kind, p.attempt, sec(p.from), sec(p.until)])).toEqual([
      ["wait", 1, 0, 5],
      ["run", 1, 5, 15],
      ["retry", 1, 15, 20],
      ["wait", 2, 20, 21],
      ["run", 2, 21, 30],
    ]);
  });
  it("draws an attempt that never started as lost, not as run", () => {
    const pieces = piecesOf(
      task("t", {
        attempts: [
          attempt(1, { ready_at: at(0), claimed_at: at(2), ended_at: at(40), outcome: "lost" }),
          attempt(2, {
            ready_at: at(40),
            started_at: at(41),
            ended_at: at(50),
            outcome: "succeeded",
          }),
        ],
      }),
      T0,
    );
    expect(pieces.map((p) => [p.kind, sec(p.from), sec(p.until)])).toEqual([
      ["wait", 0, 2],
      ["lost", 2, 40],
      ["wait", 40, 41],
      ["run", 41, 50],
    ]);
  });
  it("grows what is live up to now", () => {
    const now = T0 + 60_000;
    const waits = task("w", {
      state: "ready",
      attempts: [attempt(1, { state: "ready", ready_at: at(10) })],
    });
    expect(piecesOf(waits, now).map((p) => [p.kind, p.live, sec(p.until)])).toEqual([
      ["wait", true, 60],
    ]);
    const pause = task("p", {
      state: "retry_wait",
      attempts: [
        attempt(1, { ready_at: at(0), started_at: at(0), ended_at: at(20), outcome: "failed" }),
      ],
    });
    expect(piecesOf(pause, now).map((p) => [p.kind, p.live])).toEqual([
      ["run", false],
      ["retry", true],
    ]);
  });
  it("has nothing to draw for what never ran", () => {
    expect(piecesOf(task("u", { state: "upstream_failed" }), T0)).toEqual([]);
  });
  it("derives the wait where only its length is known", () => {
    const pieces = piecesOf(
      task("t", {
        attempts: [
          attempt(1, { started_at: at(9), wait_seconds: 4, seconds: 3, outcome: "succeeded" }),
        ],
      }),
      T0,
    );
    expect(pieces.map((p) => [p.kind, sec(p.from), sec(p.until)])).toEqual([
      ["wait", 5, 9],
      ["run", 9, 12],
    ]);
  });
});

describe("mapped instances", () => {
  const many = (n: number) =>
    Array.from({ length: n }, (_, i) =>
      task("m", {
        map_index: i,
        state: i === 7 ? "failed" : "succeeded",
        seconds: i + 1,
        attempts: [
          attempt(1, {
            started_at: at(i),
            ended_at: at(2 * i + 1),
            outcome: i === 7 ? "failed" : "succeeded",
          }),
        ],
      }),
    );
  it("names the slowest and gives the middle", () => {
    const s = spread(many(20));
    expect([s.total, s.min, s.median, s.max, s.slowest?.map_index]).toEqual([20, 1, 10.5, 20, 19]);
    expect(spread([task("m", { map_index: 0, state: "ready" })])).toEqual({ total: 1 });
  });
  it("draws a sample of many, and every failure", () => {
    const rows = stack(many(2_000), T0, 100);
    expect(rows).toHaveLength(100);
    expect(rows.flat().filter((p) => p.outcome === "failed")).toHaveLength(1);
  });
});

describe("scale", () => {
  it("is linear without gaps", () => {
    const scale = makeScale([
      { from: 0, until: 50_000 },
      { from: 50_000, until: 100_000 },
    ]);
    expect([scale.x(-5), scale.x(0), scale.x(25_000), scale.x(100_000), scale.x(999_999)]).toEqual([
      0, 0, 0.25, 1, 1,
    ]);
  });
  it("folds a day in which nothing happened", () => {
    const day = 86_400_000;
    const scale = makeScale([
      { from: 0, until: 60_000 },
      { from: day, until: day + 60_000 },
    ]);
    expect(scale.stretches.map((s) => s.gap)).toEqual([false, true, false]);
    expect(scale.x(60_000)).toBeCloseTo(0.48);
    expect(scale.x(day)).toBeCloseTo(0.52);
    expect(scale.x(day + 60_000)).toBeCloseTo(1);
  });
  it("does not fold a wait", () => {
    const scale = makeScale([{ from: 0, until: 86_400_000 }]);
    expect(scale.stretches).toHaveLength(1);
  });
  it("survives a single instant", () => {
    expect(makeScale([{ from: 5, until: 5 }]).x(5)).toBe(0);
  });
  it("merges what touches", () => {
    expect(
      merge([
        { from: 5, until: 9 },
        { from: 0, until: 5 },
        { from: 20, until: 21 },
      ]),
    ).toEqual([
      { from: 0, until: 9 },
      { from: 20, until: 21 },
    ]);
  });
  it("ticks on round times of the zone, never too close", () => {
    const scale = makeScale([{ from: T0, until: T0 + 95_000 }]);
    const found = ticks(scale, "Asia/Kolkata", 900);
    expect(found.map((t) => t.text).slice(0, 3)).toEqual(["08:00:10", "08:00:20", "08:00:30"]);
    const hours = makeScale([{ from: T0, until: T0 + 5 * 3_600_000 }]);
    expect(ticks(hours, "Asia/Kolkata", 900).map((t) => t.text)[0]).toBe("08:30");
    const narrow = ticks(scale, "UTC", 300);
    for (let i = 1; i < narrow.length; i++)
      expect(((narrow[i]?.at ?? 0) - (narrow[i - 1]?.at ?? 0)) * 300).toBeGreaterThanOrEqual(80);
  });
});

describe("timeline", () => {
  const view = (more: Partial<RunView> = {}, state: RunView["run"]["state"] = "failed"): RunView =>
    ({
      run: {
        id: "r",
        state,
        generation: 1,
        created_at: at(0),
        started_at: at(2),
        ended_at: state === "running" ? null : at(40),
      },
      tasks: [
        task("b", {
          depends_on: ["a"],
          attempts: [
            attempt(1, {
              ready_at: at(12),
              started_at: at(14),
              ended_at: at(40),
              outcome: "failed",
            }),
          ],
          state: "failed",
        }),
        task("a", {
          attempts: [
            attempt(1, {
              ready_at: at(2),
              started_at: at(3),
              ended_at: at(12),
              outcome: "succeeded",
            }),
          ],
        }),
        task("c", { state: "upstream_failed", depends_on: ["b"] }),
      ],
      graph: { width: 0, height: 0, nodes: [], edges: [] },
      usual: { seconds: 60, tasks: { c: { start_seconds: 40, seconds: 15 } } },
      critical_path: ["a", "b"],
      ...more,
    }) as unknown as RunView;

  it("keeps the order of the file, or sorts by start; what never ran comes last", () => {
    expect(timeline(view(), T0).rows.map((r) => r.task.task)).toEqual(["b", "a", "c"]);
    expect(timeline(view(), T0, "start").rows.map((r) => r.task.task)).toEqual(["a", "b", "c"]);
  });
  it("shows what never ran only by its ghost", () => {
    const row = timeline(view(), T0).rows[2];
    expect(row?.pieces).toEqual([]);
    expect(row?.ghost && [sec(row.ghost.from), sec(row.ghost.until)]).toEqual([42, 57]);
  });
  it("marks the critical path and its length", () => {
    const drawn = timeline(view(), T0);
    expect(drawn.rows.filter((r) => r.critical).map((r) => r.task.task)).toEqual(["b", "a"]);
    expect(drawn.criticalSeconds).toBe(38);
  });
  it("has a now line only while it runs, and grows to it", () => {
    expect(timeline(view(), T0 + 99_000).now).toBeUndefined();
    const live = timeline(view({}, "running"), T0 + 99_000);
    expect(live.now && sec(live.now)).toBe(99);
    expect(sec(live.scale.until)).toBe(99);
  });
  it("lets no ghost squeeze what happened", () => {
    const drawn = timeline(
      view({ usual: { seconds: 9_000, tasks: { c: { start_seconds: 8_000, seconds: 900 } } } }),
      T0,
    );
    expect(sec(drawn.scale.until)).toBeLessThanOrEqual(100);
  });
  it("gives mapped tasks a stack", () => {
    const drawn = timeline(
      view({
        tasks: [
          task("m", { expanded_n: 2 }),
          task("m", {
            map_index: 0,
            attempts: [attempt(1, { started_at: at(1), ended_at: at(2), outcome: "succeeded" })],
          }),
          task("m", { map_index: 1, state: "ready" }),
        ],
      }),
      T0,
    );
    expect(drawn.rows).toHaveLength(1);
    expect(drawn.rows[0]?.instances?.list).toHaveLength(2);
    expect(drawn.rows[0]?.instances?.stack).toHaveLength(1);
  });
});

describe("reasons", () => {
  it("links the holders inside the sentence", () => {
    const parts = reasonParts({
      kind: "max_active_tasks",
      text: "waits (2/2 used by rebuild[0], rebuild[1]; 4th in line)",
      holders: [
        { run: "r", task: "rebuild", map_index: 0 },
        { run: "r", task: "rebuild", map_index: 1 },
      ],
    });
    expect(parts.map((p) => p.text).join("")).toBe(
      "waits (2/2 used by rebuild[0], rebuild[1]; 4th in line)",
    );
    expect(parts.filter((p) => p.holder).map((p) => p.text)).toEqual(["rebuild[0]", "rebuild[1]"]);
  });
  it("does not find a name inside another, and adds who is not named", () => {
    const parts = reasonParts({
      kind: "upstream",
      text: "waits for reload",
      holders: [{ run: "r", task: "load" }],
    });
    expect(parts.map((p) => p.text).join("")).toBe("waits for reload; held by load");
  });
});

describe("order and words", () => {
  it("puts failures first and leaves out instances that are no news", () => {
    const rows = byUrgency([
      task("a"),
      task("b", { state: "failed" }),
      task("m", { map_index: 0 }),
      task("m", { map_index: 1, state: "failed" }),
      task("w", { state: "running" }),
    ]);
    expect(rows.map((r) => `${r.task}${r.map_index ?? ""}`)).toEqual(["b", "m1", "w", "a"]);
  });
  it("says events of both spellings in words", () => {
    expect(
      eventWords({
        k: "attempt_ended",
        t: "load",
        i: 2,
        d: 3,
        outcome: "timed_out",
        message: "60 s",
      }),
    ).toEqual({
      text: "load[2]: attempt 3 timed out: 60 s",
      task: "load",
      mapIndex: 2,
      tone: "bad",
    });
    expect(eventWords({ type: "attempt_started", task: "load", attempt: 1 }).text).toBe(
      "load: attempt 1 started",
    );
    expect(eventWords({ k: "run_finished", outcome: "succeeded" }).tone).toBe("ok");
    expect(eventWords({ k: "run_reopened", by: "ada", waits: true }).text).toBe(
      "Run taken up again by ada, waits for a run slot",
    );
    expect(eventWords({ k: "task_expanded", t: "fetch", n: 20 }).text).toBe(
      "fetch has 20 instances",
    );
    expect(eventWords({ k: "something_new", x: 1 }).text).toBe("something new x=1");
  });
});
