import { describe, expect, it } from "vitest";
import { kin, roundedPath } from "../src/features/graph/path";

describe("graph", () => {
  it("rounds the corners of an edge and keeps its ends", () => {
    const path = roundedPath([
      [0, 0],
      [20, 0],
      [20, 40],
    ]);
    expect(path).toBe("M0 0L12 0Q20 0 20 8L20 40");
    expect(roundedPath([[1, 1]])).toBe("");
  });
  it("never rounds beyond half of a short piece", () => {
    const path = roundedPath([
      [0, 0],
      [4, 0],
      [4, 4],
    ]);
    expect(path).toBe("M0 0L2 0Q4 0 4 2L4 4");
  });
  it("knows the kin of a task, not its siblings", () => {
    const edges = [
      { from: "a", to: "b" },
      { from: "a", to: "c" },
      { from: "b", to: "d" },
      { from: "x", to: "c" },
    ];
    expect([...kin(edges, "b")].sort()).toEqual(["a", "b", "d"]);
  });
});
