import { describe, expect, it } from "vitest";
import { dayWords, kindOf, monthStarts, moveDay, yearOf } from "../src/features/workflow/calendar";
import { nextDay, startOfDay } from "../src/lib/time";

const calendar = {
  year: 2026,
  zone: "UTC",
  days: [
    { date: "2026-11-21", succeeded: 0, failed: 1, other: 0 },
    { date: "2026-11-22", succeeded: 2, failed: 1, other: 0 },
    { date: "2026-11-23", succeeded: 1, failed: 0, other: 0 },
  ],
  planned: [{ date: "2026-11-24", count: 1 }],
  failing_days: 2,
};

describe("calendar", () => {
  const days = yearOf(calendar);
  it("has every day once, weeks from Monday", () => {
    expect(days).toHaveLength(365);
    expect(days[0]).toMatchObject({ date: "2026-01-01", week: 0, weekday: 3 });
    expect(days[4]).toMatchObject({ date: "2026-01-05", week: 1, weekday: 0 });
    expect(days.at(-1)).toMatchObject({ date: "2026-12-31", week: 52 });
    expect(monthStarts(days)).toHaveLength(12);
  });
  it("tells failed, some failed, succeeded, planned apart", () => {
    const kinds = days.slice(324, 329).map((day) => day.kind);
    expect(kinds).toEqual(["failed", "mixed", "ok", "planned", "none"]);
    expect(kindOf(0, 0, 1, 0)).toBe("other");
  });
  it("moves by day and week", () => {
    expect(moveDay(days, "2026-11-22", "ArrowRight")?.date).toBe("2026-11-29");
    expect(moveDay(days, "2026-01-01", "ArrowUp")?.date).toBe("2026-01-01");
    expect(moveDay(days, undefined, "ArrowDown")?.date).toBe("2026-11-23");
    expect(moveDay(days, "2026-11-22", "x")).toBeUndefined();
  });
  it("says the day", () => {
    const day = days.find((each) => each.date === "2026-11-22");
    expect(day && dayWords(day)).toBe("2026-11-22: 3 runs, 1 failed");
  });
});

describe("the begin of a day", () => {
  it("is the zone's midnight", () => {
    const at = (date: string, zone: string) => new Date(startOfDay(date, zone)).toISOString();
    expect(at("2026-11-22", "Europe/Berlin")).toBe("2026-11-21T23:00:00.000Z");
    expect(at("2026-07-01", "Europe/Berlin")).toBe("2026-06-30T22:00:00.000Z");
    expect(at("2026-10-25", "Europe/Berlin")).toBe("2026-10-24T22:00:00.000Z");
    expect(at("2026-11-22", "Asia/Kathmandu")).toBe("2026-11-21T18:15:00.000Z");
  });
  it("crosses months", () => {
    expect(nextDay("2026-11-30")).toBe("2026-12-01");
  });
});
