import { describe, expect, it } from "vitest";
import { diffLines, hunks, sideBySide } from "../src/features/code/diff";

const apply = (before: string, after: string) => {
  const diff = diffLines(before, after);
  const left = diff.filter((line) => line.kind !== "added").map((line) => line.text);
  const right = diff.filter((line) => line.kind !== "removed").map((line) => line.text);
  return { diff, left: left.join("\n"), right: right.join("\n") };
};

describe("diff", () => {
  it("keeps both texts whole", () => {
    const cases: [string, string][] = [
      ["a\nb\nc", "a\nx\nc"],
      ["", "a\nb"],
      ["a\nb", ""],
      ["a\nb\nc\nd", "b\nd\ne"],
      ["same", "same"],
    ];
    for (const [before, after] of cases) {
      const { left, right } = apply(before, after);
      expect(left).toBe(before);
      expect(right).toBe(after);
    }
  });
  it("is the shortest script", () => {
    const { diff } = apply("a\nb\nc\na\nb\nb\na", "c\nb\na\nb\na\nc");
    expect(diff.filter((line) => line.kind !== "same")).toHaveLength(5);
  });
  it("agrees with brute force on many small texts", () => {
    const words = ["a", "b"];
    const texts = [0, 1, 2, 3, 4].flatMap((n) =>
      Array.from({ length: 2 ** n }, (_, bits) =>
        Array.from({ length: n }, (_, i) => words[(bits >> i) & 1]).join("\n"),
      ),
    );
    const lcs = (a: string[], b: string[]): number =>
      a.length === 0 || b.length === 0
        ? 0
        : a[0] === b[0]
          ? 1 + lcs(a.slice(1), b.slice(1))
          : Math.max(lcs(a.slice(1), b), lcs(a, b.slice(1)));
    for (const before of texts) {
      for (const after of texts) {
        const { diff, left, right } = apply(before, after);
        expect([left, right]).toEqual([before, after]);
        const same = diff.filter((line) => line.kind === "same").length;
        expect(same).toBe(lcs(before ? before.split("\n") : [], after ? after.split("\n") : []));
      }
    }
  });
  it("leaves out what is far from a change", () => {
    const before = Array.from({ length: 30 }, (_, i) => `line ${i}`);
    const after = before.with(15, "changed");
    const parts = hunks(diffLines(before.join("\n"), after.join("\n")), 2);
    expect(parts.map((part) => [part.skipped, part.lines.length])).toEqual([
      [13, 6],
      [12, 0],
    ]);
    expect(hunks(diffLines("a", "a"))).toEqual([]);
  });
  it("puts replaced lines beside each other", () => {
    const rows = sideBySide(diffLines("a\nb\nc", "a\nx\ny\nc"));
    expect(rows.map((row) => [row.left?.text, row.right?.text])).toEqual([
      ["a", "a"],
      ["b", "x"],
      [undefined, "y"],
      ["c", "c"],
    ]);
  });
});
