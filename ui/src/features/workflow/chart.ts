/** The points of the duration chart and its lines, drawn on uPlot's canvas. */

import type uPlot from "uplot";
import type { Durations, RunState } from "../../api/types";
import { duration } from "../../lib/duration";
import { GLYPHS, type Tone } from "../../lib/states";

export interface Colours {
  readonly tones: Readonly<Record<Tone, string>>;
  readonly ink: string;
  readonly ink2: string;
  readonly ink3: string;
  readonly line: string;
  readonly surface: string;
}

const POINT = 4;

function point(
  to: CanvasRenderingContext2D,
  state: RunState,
  x: number,
  y: number,
  c: Colours,
  r: number,
) {
  const { tone } = GLYPHS[state];
  const size = POINT * r;
  to.fillStyle = c.tones[tone];
  to.strokeStyle = c.tones[tone];
  to.lineWidth = 1.6 * r;
  to.beginPath();
  if (tone === "bad") {
    // A cross, not only red.
    to.moveTo(x - size, y - size);
    to.lineTo(x + size, y + size);
    to.moveTo(x + size, y - size);
    to.lineTo(x - size, y + size);
    to.stroke();
  } else {
    to.arc(x, y, size * 0.85, 0, 7);
    if (tone === "ok") to.fill();
    else to.stroke();
  }
}

function level(
  u: uPlot,
  seconds: number | null | undefined,
  word: string,
  c: Colours,
  r: number,
  dash: number[],
) {
  if (seconds == null) return;
  const y = Math.round(u.valToPos(seconds, "y", true));
  const { left, width } = u.bbox;
  const to = u.ctx;
  to.strokeStyle = c.ink2;
  to.lineWidth = r;
  to.setLineDash(dash.map((n) => n * r));
  to.beginPath();
  to.moveTo(left, y);
  to.lineTo(left + width, y);
  to.stroke();
  to.setLineDash([]);
  to.font = `${11 * r}px Inter, sans-serif`;
  to.textAlign = "left";
  to.textBaseline = "bottom";
  const text = `${word} ${duration(seconds)}`;
  const box = to.measureText(text).width;
  to.fillStyle = c.surface;
  to.fillRect(left + 4 * r, y - 16 * r, box + 8 * r, 14 * r);
  to.fillStyle = c.ink;
  to.fillText(text, left + 8 * r, y - 3 * r);
}

/** Draws after uPlot has drawn axes and grid. */
export function drawDurations(u: uPlot, data: Durations, c: Colours): void {
  const r = devicePixelRatio || 1;
  const to = u.ctx;
  to.save();
  to.beginPath();
  to.rect(u.bbox.left - 6 * r, u.bbox.top - 6 * r, u.bbox.width + 12 * r, u.bbox.height + 12 * r);
  to.clip();
  for (const each of data.points) {
    if (each.seconds == null) continue;
    const x = u.valToPos(Date.parse(each.at) / 1000, "x", true);
    const y = u.valToPos(each.seconds, "y", true);
    point(to, each.state, x, y, c, r);
  }
  level(u, data.median_seconds, "median", c, r, [6, 4]);
  level(u, data.p95_seconds, "p95", c, r, [2, 3]);
  to.restore();
}
