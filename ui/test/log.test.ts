import { describe, expect, it } from "vitest";
import type { LogLine } from "../src/api/types";
import {
  appended,
  EMPTY,
  firstLine,
  holds,
  lastLine,
  MOST_PAGES,
  marked,
  opened,
  prepended,
  share,
} from "../src/features/log/window";

const lines = (from: number, until: number): LogLine[] =>
  Array.from({ length: until - from }, (_, i) => ({
    at: "2026-11-22T02:30:00Z",
    level: "info",
    stream: "task",
    line: from + i + 1,
    offset: (from + i) * 80,
    text: `line ${from + i + 1}`,
  }));

describe("the window of a log", () => {
  it("lets go of the beginning when it grows at the end", () => {
    let window = opened(lines(0, 600), 48_000, true, false);
    for (let page = 1; page < 8; page++)
      window = appended(window, lines(page * 600, page * 600 + 600), (page + 1) * 48_000, false);
    expect(window.pages.length).toBeLessThanOrEqual(MOST_PAGES);
    expect(window.atStart).toBe(false);
    expect(lastLine(window)?.line).toBe(4_800);
    expect(window.next).toBe(8 * 48_000);
  });
  it("lets go of the end when it grows at the beginning, and knows where to go on", () => {
    let window = opened(lines(5_000, 5_600), 448_000, false, true);
    for (let page = 1; page < 8; page++)
      window = prepended(window, lines(5_000 - page * 600, 5_600 - page * 600), false);
    expect(window.atEnd).toBe(false);
    expect(firstLine(window)?.line).toBe(801);
    expect(window.next).toBe((lastLine(window)?.offset ?? 0) + 80);
  });
  it("takes no line twice", () => {
    const window = appended(opened(lines(0, 10), 800, true, false), lines(8, 12), 960, true);
    expect(window.pages.flat().map((l) => l.line)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(prepended(window, lines(0, 5), true).pages.flat()).toHaveLength(12);
  });
  it("fills the last page while a stream brings line after line", () => {
    let window = opened(lines(0, 10), 800, true, true);
    for (let i = 10; i < 60; i++) window = appended(window, lines(i, i + 1), (i + 1) * 80, true);
    expect(window.pages).toHaveLength(1);
    expect(window.next).toBe(60 * 80);
  });
  it("goes on after the last line when the server does not say where", () => {
    expect(opened(lines(0, 2), undefined, true, false).next).toBe(81);
    expect(appended(EMPTY, [], undefined, true).next).toBe(0);
  });
  it("knows what it holds", () => {
    const window = opened(lines(10, 20), 1_600, false, false);
    expect([
      holds(window, 800),
      holds(window, 1_520),
      holds(window, 0),
      holds(window, 9_999),
    ]).toEqual([true, true, false, false]);
    expect([share(5, 10), share(99, 10), share(5, 0)]).toEqual([0.5, 1, 0]);
  });
  it("cuts a text at its matches", () => {
    expect(
      marked("Error: an ERROR", "error")
        .filter((p) => p.hit)
        .map((p) => p.text),
    ).toEqual(["Error", "ERROR"]);
    expect(marked("x", "").length).toBe(1);
  });
});
