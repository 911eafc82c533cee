/** Draws the part of the grid that is in view. Knows colours and shapes; where things are, `layout.ts` says. */

import type { CellExtra, Grid, GridRun } from "../../api/types";
import { duration } from "../../lib/duration";
import { type AnyState, cellState, GLYPHS, type Tone, TRIGGER_GLYPHS } from "../../lib/states";
import {
  barOf,
  columnsIn,
  columnX,
  HEAD,
  HEAD_HEIGHT,
  type Head,
  type Layout,
  type Place,
  rowsIn,
  rowY,
  type View,
} from "./layout";

export interface Palette {
  readonly tones: Readonly<Record<Tone, string>>;
  readonly surface: string;
  readonly sunken: string;
  readonly line: string;
  readonly ink: string;
  readonly ink2: string;
  readonly ink3: string;
  readonly strong: string;
}

export function readPalette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const c = (name: string) => style.getPropertyValue(`--c-${name}`).trim();
  return {
    tones: {
      ok: c("ok"),
      bad: c("bad"),
      run: c("run"),
      warn: c("warn"),
      wait: c("wait"),
      defer: c("defer"),
      mute: c("mute"),
    },
    surface: c("surface"),
    sunken: c("hover"),
    line: c("line"),
    ink: c("ink"),
    ink2: c("ink-2"),
    ink3: c("ink-3"),
    strong: c("line-strong"),
  };
}

/** News is drawn larger than no news. */
const SIZE: Partial<Record<AnyState, number>> = { succeeded: 12, failed: 16, skipped: 12 };
const SPRITE = 16;
const FONT = '11px "Inter", sans-serif';
const BOLD = '600 11px "Inter", sans-serif';
const NAME = '13px "Inter", sans-serif';

export type Sprites = ReadonlyMap<AnyState, HTMLCanvasElement>;

/** Each glyph once, as a picture: a frame then only copies. */
export function makeSprites(palette: Palette, ratio: number): Sprites {
  const made = new Map<AnyState, HTMLCanvasElement>();
  for (const state of Object.keys(GLYPHS) as AnyState[]) {
    const glyph = GLYPHS[state];
    const canvas = document.createElement("canvas");
    canvas.width = SPRITE * ratio;
    canvas.height = SPRITE * ratio;
    const to = canvas.getContext("2d");
    if (!to) continue;
    const size = SIZE[state] ?? 14;
    to.scale(ratio, ratio);
    to.translate((SPRITE - size) / 2, (SPRITE - size) / 2);
    to.scale(size / 16, size / 16);
    to.lineCap = "round";
    to.lineJoin = "round";
    to.fillStyle = palette.tones[glyph.tone];
    to.strokeStyle = palette.tones[glyph.tone];
    if (glyph.body) to.fill(new Path2D(glyph.body));
    if (glyph.line) {
      to.lineWidth = 1.7;
      to.setLineDash([...(glyph.dash ?? [])]);
      to.stroke(new Path2D(glyph.line));
      to.setLineDash([]);
    }
    if (glyph.cut) {
      to.lineWidth = 1.9;
      to.strokeStyle = palette.surface;
      to.stroke(new Path2D(glyph.cut));
    }
    made.set(state, canvas);
  }
  return made;
}

export interface Scene {
  readonly grid: Grid;
  readonly layout: Layout;
  readonly view: View;
  readonly heads: readonly Head[];
  /** What stands under the next starts. */
  readonly plannedHeads: readonly string[];
  readonly scale: number;
  readonly palette: Palette;
  readonly sprites: Sprites;
  readonly hover: Place | undefined;
  readonly pin: Place | undefined;
}

export function paint(to: CanvasRenderingContext2D, scene: Scene): void {
  const { layout, view, palette } = scene;
  to.fillStyle = palette.surface;
  to.fillRect(0, 0, view.width, view.height);
  to.textBaseline = "middle";
  crosshair(to, scene);

  to.save();
  to.beginPath();
  to.rect(layout.names, HEAD_HEIGHT, view.width - layout.names, view.height - HEAD_HEIGHT);
  to.clip();
  cells(to, scene);
  to.restore();

  to.save();
  to.beginPath();
  to.rect(layout.names, 0, view.width - layout.names, HEAD_HEIGHT);
  to.clip();
  head(to, scene);
  to.restore();

  names(to, scene);
  axis(to, scene);
  if (scene.pin) frame(to, scene, scene.pin);
}

/** The row and the column under the pointer (or of the pin). */
function crosshair(to: CanvasRenderingContext2D, scene: Scene): void {
  const { layout, view, palette } = scene;
  const place = scene.hover ?? scene.pin;
  if (!place) return;
  to.fillStyle = palette.sunken;
  const x = columnX(layout, view, place.run);
  if (x > layout.names - layout.column) to.fillRect(x, 0, layout.column, view.height);
  const y = rowY(layout, view, place.task);
  if (place.task >= 0 && y >= HEAD_HEIGHT - layout.row) to.fillRect(0, y, view.width, layout.row);
}

function cells(to: CanvasRenderingContext2D, scene: Scene): void {
  const { grid, layout, view, palette, sprites } = scene;
  const columns = columnsIn(layout, view);
  const rows = rowsIn(layout, view);
  const inset = (layout.column - SPRITE) / 2;
  const drop = (layout.row - SPRITE) / 2;
  to.strokeStyle = palette.line;
  to.lineWidth = 1;
  to.beginPath();
  for (let row = rows.from; row < rows.to; row += 1) {
    const y = Math.round(rowY(layout, view, row)) + layout.row - 0.5;
    to.moveTo(layout.names, y);
    to.lineTo(Math.min(view.width, columnX(layout, view, layout.runs)), y);
  }
  to.stroke();
  for (let column = columns.from; column < columns.to; column += 1) {
    const run = grid.runs[column];
    if (!run) continue;
    const x = columnX(layout, view, column);
    for (let row = rows.from; row < rows.to; row += 1) {
      const state = cellState(run.cells[row] ?? ".");
      if (!state) continue;
      const y = rowY(layout, view, row);
      const extra = run.extra[row];
      const instances = extra?.n;
      if (extra && instances && state !== "upstream_failed" && state !== "skipped") {
        fraction(to, palette, extra, instances, x + inset, y + drop);
      } else {
        const sprite = sprites.get(state);
        if (sprite) to.drawImage(sprite, x + inset, y + drop, SPRITE, SPRITE);
      }
      if (extra?.a && extra.a > 1)
        attempts(to, palette, extra.a - 1, x + inset + SPRITE + 2, y + drop - 2);
    }
    if (run.version_changed)
      versionLine(to, palette, x, HEAD_HEIGHT, rowY(layout, view, layout.tasks));
  }
}

/** A mapped task: a frame filled by the share that succeeded, its failures in red with a foot. */
function fraction(
  to: CanvasRenderingContext2D,
  palette: Palette,
  extra: CellExtra,
  instances: number,
  x: number,
  y: number,
): void {
  const width = SPRITE - 1;
  const share = (n: number | null | undefined, least: number) =>
    n ? Math.max(least, Math.round((n / instances) * (width - 1))) : 0;
  const bad = share(extra.nf, 4);
  const live = share(extra.nr, 3);
  const good = Math.min(share(extra.ns, 1), width - 1 - bad - live);
  to.fillStyle = palette.tones.ok;
  to.fillRect(x + 1, y + 4, good, 8);
  to.fillStyle = palette.tones.run;
  to.fillRect(x + 1 + good, y + 7, live, 5);
  if (bad) {
    to.fillStyle = palette.tones.bad;
    to.fillRect(x + 1 + good + live, y + 4, bad, 8);
    to.fillRect(x + 1 + good + live, y + 14, bad, 2);
  }
  to.strokeStyle = bad ? palette.tones.bad : live ? palette.tones.run : palette.tones.ok;
  to.lineWidth = 1;
  to.strokeRect(x + 0.5, y + 3.5, width, 9);
}

/** A dot for each attempt beyond the first. */
function attempts(
  to: CanvasRenderingContext2D,
  palette: Palette,
  extra: number,
  right: number,
  y: number,
): void {
  const shown = Math.min(extra, 4);
  for (let i = 0; i < shown; i += 1) {
    to.beginPath();
    to.arc(right - 3 - i * 5, y + 3.5, 2.4, 0, 7);
    to.fillStyle = palette.surface;
    to.fill();
    to.beginPath();
    to.arc(right - 3 - i * 5, y + 3.5, 1.7, 0, 7);
    to.fillStyle = palette.ink;
    to.fill();
  }
}

function versionLine(
  to: CanvasRenderingContext2D,
  palette: Palette,
  x: number,
  from: number,
  until: number,
): void {
  to.strokeStyle = palette.ink3;
  to.lineWidth = 1;
  to.setLineDash([2, 3]);
  to.beginPath();
  to.moveTo(Math.round(x) + 0.5, from);
  to.lineTo(Math.round(x) + 0.5, until);
  to.stroke();
  to.setLineDash([]);
}

function head(to: CanvasRenderingContext2D, scene: Scene): void {
  const { grid, layout, view, heads, palette } = scene;
  const columns = columnsIn(layout, view);
  const base = HEAD.top + HEAD.bars;
  for (let column = Math.max(0, columns.from - 3); column < columns.to; column += 1) {
    const run = grid.runs[column];
    const mark = heads[column];
    if (!run || !mark) continue;
    const x = columnX(layout, view, column);
    const middle = x + layout.column / 2;
    bar(to, scene, run, middle, base);
    if (run.trigger !== "schedule") trigger(to, palette, run.trigger, middle - 6, base + 4);
    to.textAlign = "center";
    to.font = mark.newDay ? BOLD : FONT;
    to.fillStyle = mark.newDay ? palette.ink : palette.ink3;
    if (mark.day) to.fillText(mark.day, middle, base + HEAD.trigger + 8);
    to.textAlign = "left";
    if (run.version_changed) {
      versionLine(to, palette, x, HEAD.top, HEAD_HEIGHT);
      to.font = BOLD;
      to.fillStyle = palette.ink2;
      to.fillText(`v${run.version}`, x + 2, 8);
    } else if (mark.month) {
      to.font = FONT;
      to.fillStyle = palette.ink2;
      to.fillText(mark.month, x + 2, 8);
    }
  }
  usual(to, scene, base);
  planned(to, scene, base);
  to.strokeStyle = palette.strong;
  to.lineWidth = 1;
  to.beginPath();
  to.moveTo(layout.names, HEAD_HEIGHT - 0.5);
  to.lineTo(view.width, HEAD_HEIGHT - 0.5);
  to.stroke();
}

/** Time of the run; its lighter foot is the wait, a red notch on green a masked failure, a failure stands on a foot. */
function bar(
  to: CanvasRenderingContext2D,
  scene: Scene,
  run: GridRun,
  middle: number,
  base: number,
): void {
  const { palette, layout } = scene;
  const width = Math.min(14, layout.column - 8);
  const x = Math.round(middle - width / 2);
  const { tone } = GLYPHS[run.state];
  const colour = palette.tones[tone];
  const tall = HEAD.bars - 6;
  if (run.seconds === null || run.seconds === undefined) {
    to.strokeStyle = colour;
    to.lineWidth = 1.4;
    to.setLineDash([3, 2]);
    to.strokeRect(x + 0.7, base - 4 - tall / 2, width - 1.4, tall / 2);
    to.setLineDash([]);
    return;
  }
  const { height, foot } = barOf(run, scene.scale, tall);
  const floor = base - 4;
  to.fillStyle = colour;
  to.fillRect(x, floor - height, width, height - foot);
  if (foot > 0) {
    to.globalAlpha = 0.4;
    to.fillRect(x, floor - foot, width, foot);
    to.globalAlpha = 1;
  }
  if (tone === "bad") to.fillRect(x, floor + 1, width, 3);
  if (run.masked) {
    to.fillStyle = palette.surface;
    to.fillRect(x, floor - 11, width, 13);
    to.fillStyle = palette.tones.bad;
    to.fillRect(x, floor - 9, width, 9);
    to.fillRect(x, floor + 1, width, 3);
  }
}

function trigger(
  to: CanvasRenderingContext2D,
  palette: Palette,
  kind: GridRun["trigger"],
  x: number,
  y: number,
): void {
  to.save();
  to.translate(x, y);
  to.scale(12 / 16, 12 / 16);
  to.strokeStyle = palette.ink2;
  to.lineWidth = 1.7;
  to.stroke(new Path2D(TRIGGER_GLYPHS[kind]));
  to.restore();
}

/** The next starts: hollow, as long as usual. */
function planned(to: CanvasRenderingContext2D, scene: Scene, base: number): void {
  const { grid, layout, view, palette, scale } = scene;
  const share = grid.median_seconds ? Math.min(1, grid.median_seconds / scale) : 0.5;
  const height = Math.max(6, Math.round(share * (HEAD.bars - 6)));
  const width = Math.min(14, layout.column - 8);
  to.strokeStyle = palette.ink3;
  to.lineWidth = 1;
  to.setLineDash([2, 2]);
  to.font = FONT;
  to.textAlign = "center";
  to.fillStyle = palette.ink3;
  for (let i = 0; i < layout.planned; i += 1) {
    const middle = columnX(layout, view, layout.runs + i) + layout.column / 2;
    to.strokeRect(Math.round(middle - width / 2) + 0.5, base - 4.5 - height, width - 1, height);
    const label = scene.plannedHeads[i];
    if (label) to.fillText(label, middle, base + HEAD.trigger + 8);
  }
  to.setLineDash([]);
  to.textAlign = "left";
}

/** The median as a line through the bars. */
function usual(to: CanvasRenderingContext2D, scene: Scene, base: number): void {
  const { grid, layout, view, palette, scale } = scene;
  if (!grid.median_seconds) return;
  const y = Math.round(base - 4 - (grid.median_seconds / scale) * (HEAD.bars - 6)) + 0.5;
  to.strokeStyle = palette.ink3;
  to.lineWidth = 1;
  to.setLineDash([4, 4]);
  to.beginPath();
  to.moveTo(layout.names, y);
  to.lineTo(Math.min(view.width, columnX(layout, view, layout.runs)), y);
  to.stroke();
  to.setLineDash([]);
}

function names(to: CanvasRenderingContext2D, scene: Scene): void {
  const { grid, layout, view, palette } = scene;
  const rows = rowsIn(layout, view);
  const active = scene.hover?.task ?? scene.pin?.task;
  to.save();
  to.beginPath();
  to.rect(0, HEAD_HEIGHT, layout.names, view.height - HEAD_HEIGHT);
  to.clip();
  to.font = NAME;
  to.textAlign = "left";
  for (let row = rows.from; row < rows.to; row += 1) {
    const task = grid.tasks[row];
    if (!task) continue;
    const y = rowY(layout, view, row);
    to.fillStyle = row === active ? palette.sunken : palette.surface;
    to.fillRect(0, y, layout.names, layout.row);
    to.fillStyle = task.removed ? palette.ink3 : palette.ink;
    to.fillText(clip(to, task.id, layout.names - 28), 16, y + layout.row / 2 + 0.5);
    to.fillStyle = palette.line;
    to.fillRect(0, Math.round(y) + layout.row - 1, layout.names, 1);
  }
  to.restore();
  to.fillStyle = palette.strong;
  to.fillRect(layout.names - 1, 0, 1, Math.min(view.height, rowY(layout, view, layout.tasks)));
}

function clip(to: CanvasRenderingContext2D, text: string, width: number): string {
  if (to.measureText(text).width <= width) return text;
  let cut = text.length;
  while (cut > 1 && to.measureText(`${text.slice(0, cut)}…`).width > width) cut -= 1;
  return `${text.slice(0, cut)}…`;
}

/** The corner: what the bars measure. */
function axis(to: CanvasRenderingContext2D, scene: Scene): void {
  const { grid, layout, palette, scale } = scene;
  to.fillStyle = palette.surface;
  to.fillRect(0, 0, layout.names - 1, HEAD_HEIGHT - 1);
  to.fillStyle = palette.strong;
  to.fillRect(0, HEAD_HEIGHT - 1, layout.names, 1);
  const base = HEAD.top + HEAD.bars - 4;
  const tall = HEAD.bars - 6;
  to.font = FONT;
  to.textAlign = "right";
  to.fillStyle = palette.ink3;
  const right = layout.names - 8;
  const median = grid.median_seconds;
  const y = median ? base - (median / scale) * tall : base;
  if (median) to.fillText(`usual ${duration(median)}`, right, y);
  if (y - (base - tall) > 16) to.fillText(duration(scale), right, base - tall + 3);
  to.textAlign = "left";
  to.fillText("Task", 16, base + HEAD.trigger + 12);
}

function frame(to: CanvasRenderingContext2D, scene: Scene, place: Place): void {
  const { layout, view, palette } = scene;
  const x = columnX(layout, view, place.run);
  const y = place.task < 0 ? 1 : rowY(layout, view, place.task);
  const height = place.task < 0 ? HEAD_HEIGHT - 3 : layout.row;
  if (x < layout.names - 2 || (place.task >= 0 && y < HEAD_HEIGHT - 2)) return;
  to.strokeStyle = palette.ink;
  to.lineWidth = 2;
  to.strokeRect(Math.round(x), Math.round(y), layout.column, height);
}
