import { describe, expect, it } from "vitest";
import { rank, score } from "../src/features/shell/commands";
import { against, bytes, count, duration, roughDuration } from "../src/lib/duration";
import { cellState, GLYPHS, taskName } from "../src/lib/states";
import { clock, dayTime, exact, isZone, offset, relative } from "../src/lib/time";

describe("duration", () => {
  it("has one format", () => {
    expect([0, 0.82, 4.2, 45, 70, 95, 3600, 8040, 273_600].map(duration)).toEqual([
      "0 ms",
      "820 ms",
      "4.2 s",
      "45 s",
      "1 m 10 s",
      "1 m 35 s",
      "1 h",
      "2 h 14 m",
      "3 d 4 h",
    ]);
  });
  it("rounds without a sixtieth second", () => {
    expect(duration(59.6)).toBe("1 m");
    expect(duration(0.9996)).toBe("1.0 s");
    expect(duration(9.96)).toBe("10 s");
  });
  it("is coarse for ages", () => {
    expect(roughDuration(190)).toBe("3 m");
    expect(roughDuration(8049)).toBe("2 h 14 m");
    expect(roughDuration(200_000)).toBe("2 d");
  });
  it("compares only what is comparable", () => {
    expect(against(70, 95)).toBe("usual");
    expect(against(200, 95)).toBe("longer");
    expect(against(20, 95)).toBe("shorter");
    expect(against(0.3, 0.1)).toBe("usual");
    expect(against(3, undefined)).toBeUndefined();
  });
  it("counts", () => {
    expect(count(1, "task")).toBe("1 task");
    expect(count(1200, "task")).toBe("1,200 tasks");
    expect(bytes(1536)).toBe("1.5 KiB");
  });
});

describe("time", () => {
  const at = "2026-11-22T01:30:12.000Z";
  it("is shown in the chosen zone", () => {
    expect(exact(at, "Europe/Berlin")).toBe("2026-11-22 02:30:12 UTC+1 (Europe/Berlin)");
    expect(exact(at, "UTC")).toBe("2026-11-22 01:30:12 UTC");
    expect(clock(at, "Asia/Kathmandu")).toBe("07:15");
    expect(offset(at, "Asia/Kathmandu")).toBe("UTC+5:45");
    expect(dayTime(at, "Europe/Berlin", Date.parse("2026-12-01T00:00:00Z"))).toBe(
      "Sun 22 Nov 02:30",
    );
    expect(dayTime(at, "Europe/Berlin", Date.parse("2027-02-01T00:00:00Z"))).toBe(
      "Sun 22 Nov 2026 02:30",
    );
  });
  it("counts both ways", () => {
    const now = Date.parse(at);
    expect(relative(now - 180_000, now)).toBe("3 m ago");
    expect(relative(now + 8_040_000, now)).toBe("in 2 h 14 m");
    expect(relative(now, now)).toBe("now");
  });
  it("knows zones", () => {
    expect(isZone("Australia/Lord_Howe")).toBe(true);
    expect(isZone("Nowhere/Else")).toBe(false);
  });
});

describe("states", () => {
  it("have a shape each, so greyscale loses nothing", () => {
    const shapes = Object.values(GLYPHS).map((g) => `${g.body}|${g.line}|${g.cut}|${g.dash}`);
    expect(new Set(shapes).size).toBe(shapes.length);
  });
  it("reads the letters of a grid", () => {
    expect([..."sfkucrywtdx"].map(cellState)).not.toContain(undefined);
    expect(cellState(".")).toBeUndefined();
  });
  it("names mapped instances", () => {
    expect(taskName("fetch", 3)).toBe("fetch[3]");
    expect(taskName("fetch", null)).toBe("fetch");
  });
});

describe("palette", () => {
  const make = (text: string) => ({ id: text, group: "", text, icon: "home" as const, run() {} });
  it("needs every word and prefers starts", () => {
    expect(score("Trigger flights_etl", ["etl", "trig"])).toBeGreaterThan(0);
    expect(score("Trigger flights_etl", ["etl", "pause"])).toBe(0);
    const found = rank([make("x_flights"), make("flights_etl"), make("other")], "fli");
    expect(found.map((c) => c.text)).toEqual(["flights_etl", "x_flights"]);
  });
});
