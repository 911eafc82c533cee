import { describe, expect, it } from "vitest";
import type { Attention, WorkflowSummary } from "../src/api/types";
import { filterWorkflows, readFilter } from "../src/features/workflows/filter";

const workflow = (id: string, attention: Attention, more: Partial<WorkflowSummary> = {}) =>
  ({
    id,
    attention,
    tags: [],
    recent: [],
    paused: attention === "paused",
    state: "active",
    diagnostics: 0,
    version: 1,
    path: "",
    ...more,
  }) as WorkflowSummary;

const LIST = [
  workflow("b_ok", "ok", { owner: "ops", tags: ["lake"] }),
  workflow("a_paused", "paused"),
  workflow("z_failing", "failing"),
  workflow("m_late", "late"),
  workflow("c_running", "running", { owner: "ops", description: "Lake of files" }),
  workflow("a_ok", "ok"),
];

describe("workflow list", () => {
  it("puts first what needs a person", () => {
    expect(filterWorkflows(LIST, {}).rows.map((w) => w.id)).toEqual([
      "z_failing",
      "m_late",
      "c_running",
      "a_ok",
      "b_ok",
      "a_paused",
    ]);
  });
  it("searches all words in name, description, owner and tags", () => {
    expect(filterWorkflows(LIST, { search: "lake ops" }).rows.map((w) => w.id)).toEqual([
      "c_running",
      "b_ok",
    ]);
  });
  it("counts states under the other filters, not under the state's own", () => {
    const found = filterWorkflows(LIST, { owner: "ops", state: "ok" });
    expect(found.rows).toHaveLength(1);
    expect(found.total).toBe(2);
    expect(found.counts.running).toBe(1);
  });
  it("reads only what it knows from the URL", () => {
    expect(readFilter({ search: 42, state: "nonsense", sort: "attention", tag: "" })).toEqual({
      search: "42",
    });
  });
});
