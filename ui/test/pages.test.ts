import { describe, expect, it } from "vitest";
import { keysOfCatalog, keysOfRun } from "../src/api/events";
import type { Incident, RunSummary } from "../src/api/types";
import { readAuditFilter } from "../src/features/audit/filter";
import { attemptWords, consequences, extraLine } from "../src/features/home/incident";
import { readRunFilter, windowWords } from "../src/features/runs/filter";
import { outcome } from "../src/features/runs/outcome";
import { may } from "../src/features/shell/may";
import { readSearch } from "../src/features/workflow/search";

const incident: Incident = {
  id: "1",
  kind: "run_failed",
  workflow: "flights_etl",
  run: "r",
  task: "row_counts",
  at: "2026-11-22T02:32:00Z",
  attempt: 3,
  attempts: 3,
  cause: "quality check failed: 61 % below the mean",
  line: "61 % below the mean",
  blocked: 9,
  failures_in_row: 2,
};

describe("an incident", () => {
  it("says attempt, consequence and whether it is news", () => {
    expect(attemptWords(incident)).toBe("attempt 3 of 3");
    expect(consequences(incident)).toEqual(["9 tasks did not run", "2 failures in a row"]);
    expect(consequences({ ...incident, blocked: 0, failures_in_row: 1 })).toEqual([]);
  });
  it("does not say its line twice", () => {
    expect(extraLine(incident)).toBeUndefined();
    expect(extraLine({ ...incident, line: "at rows.py:41" })).toBe("at rows.py:41");
  });
});

describe("a run in a list", () => {
  const run = { state: "failed", tasks_done: 4, tasks_total: 13 } as RunSummary;
  it("names task, attempt and line of its failure", () => {
    const failure = { task: "fetch", map_index: 7, attempt: 2, attempts: 3, line: "502" };
    expect(outcome({ ...run, failure })).toBe("fetch[7] (attempt 2 of 3): 502");
  });
  it("says how far it is, or its note", () => {
    expect(outcome({ ...run, state: "running" })).toBe("4 of 13 tasks done");
    expect(outcome({ ...run, state: "succeeded", note: "again" })).toBe("again");
    expect(outcome({ ...run, state: "succeeded" })).toBe("13 tasks");
  });
});

describe("the URL", () => {
  it("gives a workflow page what it knows, without the defaults", () => {
    expect(readSearch({ tab: "grid", runs: 365, trigger: "backfill", state: "nonsense" })).toEqual({
      runs: 365,
      trigger: "backfill",
    });
    expect(readSearch({ tab: "code", version: 2, against: 1, runs: "x" })).toEqual({
      tab: "code",
      version: 2,
      against: 1,
    });
  });
  it("gives the list of runs its window, and the window its words", () => {
    const filter = readRunFilter({ state: "failed", since: "2026-11-22T00:00:00Z", by: "ended" });
    expect(filter.since).toBe("2026-11-22T00:00:00Z");
    expect(windowWords(filter)).toBe("runs that ended since");
    expect(readRunFilter({ since: "yesterday" })).toEqual({});
  });
  it("gives the audit page its filters", () => {
    expect(readAuditFilter({ actor: "mira", action: "", since: "no" })).toEqual({ actor: "mira" });
  });
});

describe("a hint of the event stream", () => {
  it("makes stale the run, its workflow and the lists, and no other run", () => {
    const keys = keysOfRun({ run: "r1", version: 3, workflow: "w", state: "failed" });
    expect(keys).toContainEqual(["run", "r1"]);
    expect(keys).toContainEqual(["workflow", "w"]);
    expect(keys).not.toContainEqual(["run"]);
    expect(keysOfCatalog("w")).toContainEqual(["workflow", "w"]);
  });
});

describe("a role", () => {
  it("may do what the ones before it may", () => {
    expect(may("editor", "operator")).toBe(true);
    expect(may("viewer", "operator")).toBe(false);
    expect(may(undefined, "viewer")).toBe(false);
  });
});
