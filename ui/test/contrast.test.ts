import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const css = readFileSync(join(import.meta.dirname, "..", "src", "styles.css"), "utf8");

/** The tokens of one theme: the custom properties of the first block after `selector`. */
function tokens(selector: string): Record<string, string> {
  const block = css.slice(css.indexOf(selector)).split("}")[0] ?? "";
  return Object.fromEntries(
    [...block.matchAll(/--c-([\w-]+):\s*(#[0-9a-f]{6})/g)].map((m) => [m[1] ?? "", m[2] ?? ""]),
  );
}

function luminance(hex: string): number {
  const parts = [1, 3, 5].map((at) => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * (parts[0] ?? 0) + 0.7152 * (parts[1] ?? 0) + 0.0722 * (parts[2] ?? 0);
}

function contrast(a: string, b: string): number {
  const [light = 0, dark = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}

const THEMES = {
  light: tokens(":root {"),
  dark: tokens(':root[data-theme="dark"]'),
  system: tokens(":root:not([data-theme])"),
};
const SURFACES = ["page", "surface", "sunken", "hover"];
const TEXT = ["ink", "ink-2", "ink-3"];
const MARKS = ["ok", "bad", "run", "warn", "wait", "defer", "mute", "control", "focus"];

describe("contrast", () => {
  it("of the dark theme is the same by choice and by system", () => {
    expect(THEMES.system).toEqual(THEMES.dark);
  });
  for (const [theme, colours] of Object.entries(THEMES)) {
    const pairs = (fronts: string[], backs: string[], least: number) =>
      fronts.flatMap((front) =>
        backs
          .map((back) => [
            `${front} on ${back}`,
            contrast(colours[front] ?? "", colours[back] ?? ""),
          ])
          .filter(([, ratio]) => !(Number(ratio) >= least)),
      );
    it(`of text is at least 4.5 in ${theme}`, () => {
      expect(pairs(TEXT, SURFACES, 4.5)).toEqual([]);
      expect(pairs(["inverse"], ["ink"], 4.5)).toEqual([]);
      expect(pairs(["ink"], ["ok-soft", "bad-soft", "run-soft", "warn-soft"], 4.5)).toEqual([]);
      expect(pairs(["bad"], ["surface", "page"], 4.5)).toEqual([]);
    });
    it(`of marks is at least 3 in ${theme}`, () => {
      expect(pairs(MARKS, SURFACES, 3)).toEqual([]);
    });
  }
});
