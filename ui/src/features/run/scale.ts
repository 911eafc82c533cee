/**
 * The time axis of a run. A run that was taken up again a day later has a day in which nothing happened: such
 * gaps are folded to a sliver, so that both parts can be read. Pure.
 */

import { clock, clockSeconds } from "../../lib/time";

export interface Span {
  from: number;
  until: number;
}

export interface Stretch extends Span {
  /** Share of the width at which it begins, and how much it takes. */
  at: number;
  width: number;
  /** A fold: nothing happened, and it is not drawn to scale. */
  gap: boolean;
}

export interface Scale extends Span {
  stretches: Stretch[];
  /** Instant to share of the width, 0 … 1. */
  x: (at: number) => number;
}

/** Spans that touch or overlap become one; sorted. */
export function merge(spans: readonly Span[]): Span[] {
  const sorted = spans.filter((s) => s.until >= s.from).sort((a, b) => a.from - b.from);
  const merged: Span[] = [];
  for (const span of sorted) {
    const last = merged.at(-1);
    if (last && span.from <= last.until) last.until = Math.max(last.until, span.until);
    else merged.push({ ...span });
  }
  return merged;
}

/** A gap is folded when it is this many times longer than all that happened. */
const FOLD = 1.5;
const FOLDED_WIDTH = 0.04;
const LEAST_MS = 1_000;

/** The axis over all spans. */
export function makeScale(spans: readonly Span[]): Scale {
  const busy = merge(spans);
  const first = busy[0];
  const last = busy.at(-1);
  const from = first?.from ?? 0;
  const until = Math.max(last?.until ?? 0, from + LEAST_MS);
  const length = busy.reduce((sum, span) => sum + (span.until - span.from), 0);
  const least = Math.max(length * FOLD, 60_000);
  const parts: { from: number; until: number; gap: boolean }[] = [];
  let begin = from;
  busy.forEach((span, index) => {
    const next = busy[index + 1];
    if (next && next.from - span.until > least) {
      parts.push({ from: begin, until: span.until, gap: false });
      parts.push({ from: span.until, until: next.from, gap: true });
      begin = next.from;
    }
  });
  parts.push({ from: begin, until, gap: false });
  const gaps = parts.filter((part) => part.gap).length;
  const scaled = parts.reduce((sum, p) => sum + (p.gap ? 0 : Math.max(p.until - p.from, 1)), 0);
  const room = 1 - gaps * FOLDED_WIDTH;
  let at = 0;
  const stretches = parts.map((part): Stretch => {
    const width = part.gap ? FOLDED_WIDTH : (Math.max(part.until - part.from, 1) / scaled) * room;
    const stretch = { ...part, at, width };
    at += width;
    return stretch;
  });
  const x = (instant: number) => {
    if (instant <= from) return 0;
    const part = stretches.find((s) => instant <= s.until);
    if (!part) return 1;
    const share = (instant - part.from) / Math.max(part.until - part.from, 1);
    return part.at + Math.max(0, share) * part.width;
  };
  return { from, until, stretches, x };
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12, 24, 48].map((n) => n * HOUR),
];

export interface Tick {
  /** Share of the width. */
  at: number;
  text: string;
}

/** Since midnight in `zone`, ms. */
function sinceMidnight(at: number, zone: string): number {
  const [h = 0, m = 0, s = 0] = clockSeconds(at, zone).split(":").map(Number);
  return h * HOUR + m * MINUTE + s * SECOND + (((at % SECOND) + SECOND) % SECOND);
}

/** Times of day on round numbers of the zone, never closer than `spacing` px on a chart of `width` px. */
export function ticks(scale: Scale, zone: string, width: number, spacing = 84): Tick[] {
  const found: Tick[] = [];
  for (const part of scale.stretches) {
    if (part.gap) continue;
    const length = part.until - part.from;
    const px = part.width * width;
    const most = Math.max(1, Math.floor(px / spacing));
    const step = STEPS.find((each) => length / each <= most) ?? STEPS.at(-1) ?? HOUR;
    const start = part.from + step - (sinceMidnight(part.from, zone) % step || step);
    for (let at = start; at <= part.until; at += step) {
      const place = scale.x(at);
      // A label at the very edge would be cut.
      if (place * width < spacing / 4) continue;
      if (place * width > width - spacing / 2) break;
      found.push({ at: place, text: step < MINUTE ? clockSeconds(at, zone) : clock(at, zone) });
    }
  }
  return found;
}
