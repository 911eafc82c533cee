/**
 * What a state looks like: word, tone and glyph. The one table for DOM, SVG and canvas.
 *
 * A glyph is drawn in a box of 16. `body` is filled in the tone, `line` stroked in the tone, `cut` stroked
 * in the background over the body. No two states share a shape, so that greyscale loses nothing.
 */

import type { RunState, TaskState, Trigger } from "../api/types";

export type AnyState = RunState | TaskState;
export type Tone = "ok" | "bad" | "run" | "warn" | "wait" | "defer" | "mute";

export interface Glyph {
  readonly tone: Tone;
  readonly word: string;
  readonly body?: string;
  readonly line?: string;
  readonly cut?: string;
  readonly dash?: readonly number[];
}

const DISC = "M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 1 1 0-13z";
const RING = "M8 2.2a5.8 5.8 0 1 1 0 11.6a5.8 5.8 0 1 1 0-11.6z";
const TILE = "M3.5 1.5h9a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2h-9a2 2 0 0 1-2-2v-9a2 2 0 0 1 2-2z";
const FRAME =
  "M3.7 2.2h8.6a1.5 1.5 0 0 1 1.5 1.5v8.6a1.5 1.5 0 0 1-1.5 1.5h-8.6a1.5 1.5 0 0 1-1.5-1.5v-8.6a1.5 1.5 0 0 1 1.5-1.5z";

export const GLYPHS: Readonly<Record<AnyState, Glyph>> = {
  succeeded: { tone: "ok", word: "Succeeded", body: DISC, cut: "M5 8.3l2.1 2.1L11 6.2" },
  failed: { tone: "bad", word: "Failed", body: TILE, cut: "M5.2 5.2l5.6 5.6M10.8 5.2l-5.6 5.6" },
  broken: {
    tone: "bad",
    word: "Broken",
    body: "M8 1.2l7.2 13.3h-14.4z",
    cut: "M8 6v4M8 12.2v.2",
  },
  upstream_failed: {
    tone: "warn",
    word: "Upstream failed",
    line: `${FRAME}M8 11V5.4M5.4 7.8L8 5.2l2.6 2.6`,
  },
  running: { tone: "run", word: "Running", line: RING, body: "M8 2.2a5.8 5.8 0 0 1 0 11.6z" },
  retry_wait: {
    tone: "warn",
    word: "Retry wait",
    line: "M13.2 8a5.2 5.2 0 1 1-1.7-3.8M11.8 1.4v3.1h-3.1",
  },
  ready: {
    tone: "wait",
    word: "Ready",
    line: RING,
    body: "M8 5.6a2.4 2.4 0 1 1 0 4.8a2.4 2.4 0 1 1 0-4.8z",
  },
  queued: { tone: "wait", word: "Queued", line: `${RING}M8 4.8V8l2.2 1.6` },
  waiting: { tone: "wait", word: "Waiting", line: RING, dash: [2.4, 2.4] },
  deferred: {
    tone: "defer",
    word: "Deferred",
    line: "M8 1.8L14.2 8L8 14.2L1.8 8zM6.6 6v4M9.4 6v4",
  },
  skipped: { tone: "mute", word: "Skipped", line: "M4 8h8" },
  cancelled: { tone: "mute", word: "Cancelled", line: `${RING}M4 12L12 4` },
  cancelling: { tone: "mute", word: "Cancelling", line: `${RING}M5 8h6`, dash: [3, 2] },
  removed: { tone: "mute", word: "Removed", line: "M5 5l6 6M11 5l-6 6" },
};

/** The letters of a grid row (`GridRun.cells`). `.` is "no such task in that version". */
const LETTERS: Readonly<Record<string, TaskState>> = {
  s: "succeeded",
  f: "failed",
  k: "skipped",
  u: "upstream_failed",
  c: "cancelled",
  r: "running",
  y: "ready",
  w: "waiting",
  t: "retry_wait",
  d: "deferred",
  x: "removed",
};

export function cellState(letter: string): TaskState | undefined {
  return LETTERS[letter];
}

const LIVE: ReadonlySet<AnyState> = new Set<AnyState>([
  "queued",
  "running",
  "cancelling",
  "waiting",
  "ready",
  "retry_wait",
  "deferred",
]);

/** Whether anything can still change without a new command. */
export function isLive(state: AnyState): boolean {
  return LIVE.has(state);
}

export const TRIGGER_WORDS: Readonly<Record<Trigger, string>> = {
  schedule: "Scheduled",
  manual: "By hand",
  backfill: "Backfill",
  asset: "Asset",
  event: "Event",
  api: "API",
};

/** Drawn like the states, in a box of 16, in the ink of the text: a trigger is no state. */
export const TRIGGER_GLYPHS: Readonly<Record<Trigger, string>> = {
  schedule: `${RING}M8 4.8V8l2.2 1.6`,
  manual:
    "M8 8.2a2.9 2.9 0 1 0 0-5.8a2.9 2.9 0 1 0 0 5.8zM2.8 14c.4-3 2.4-4.4 5.2-4.4s4.8 1.4 5.2 4.4",
  backfill: "M7.6 4L3.6 8l4 4M12.6 4l-4 4l4 4",
  asset: "M3 4.5c0-3 10-3 10 0v7c0 3-10 3-10 0zM3 4.5c0 3 10 3 10 0",
  event: "M9 1.8L3.8 9h4L7 14.2L12.2 7h-4z",
  api: "M5.5 4.5L2 8l3.5 3.5M10.5 4.5L14 8l-3.5 3.5",
};

/** The name of a task run: mapped instances by index. */
export function taskName(task: string, mapIndex?: number | null): string {
  return mapIndex === null || mapIndex === undefined ? task : `${task}[${mapIndex}]`;
}
