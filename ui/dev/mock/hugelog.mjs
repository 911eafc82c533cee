// A log of 1 GiB that is never stored: every line has 80 bytes, so a byte says which line it is in.

import { iso } from "./base.mjs";

const LINE = 80;
const BYTES = 2 ** 30;
const LINES = Math.floor(BYTES / LINE);
const FIRST_ERROR = 9_000_001;
const ORDER = ["debug", "info", "warn", "error"];

export const HUGE_TASK = "compact";

const levelOf = (line) =>
  line >= FIRST_ERROR && line < FIRST_ERROR + 4
    ? "error"
    : line % 1_000_003 === 0
      ? "warn"
      : line % 7 === 3
        ? "debug"
        : "info";

function textOf(line) {
  if (line === FIRST_ERROR)
    return "parquet: page 811 of row group 42 is shorter than its header says";
  if (line > FIRST_ERROR && line < FIRST_ERROR + 4)
    return `  at read_page (frame ${line - FIRST_ERROR})`;
  if (line % 1_000_003 === 0) return `slow disk at row ${line}`;
  return `row ${line}: compacted ${(line * 7919) % 100000} bytes of file ${line % 512}`;
}

function lineAt(line, begun) {
  return {
    at: iso(begun + line / 300),
    level: levelOf(line),
    stream: line % 11 === 0 ? "stderr" : "stdout",
    line,
    offset: (line - 1) * LINE,
    text: textOf(line),
  };
}

/** The lines of 1-based [from, until). */
function range(from, until, begun) {
  const first = Math.max(1, from);
  const last = Math.min(LINES + 1, until);
  return Array.from({ length: Math.max(0, last - first) }, (_, i) => lineAt(first + i, begun));
}

export function hugePage(begun, { tail, offset, limit, around, level, search }) {
  const page = {
    bytes: LINES * LINE,
    lines: LINES,
    complete: true,
    first_error: { line: FIRST_ERROR, offset: (FIRST_ERROR - 1) * LINE },
    next: null,
  };
  if (around)
    return {
      ...page,
      items: range(around - 200, around + 200, begun),
      next: around + 200 <= LINES ? (around + 199) * LINE : null,
    };
  if (tail && !level && !search)
    return { ...page, items: range(LINES - tail + 1, LINES + 1, begun) };
  const from = Math.ceil((offset ?? 0) / LINE) + 1;
  const filtered = Boolean(level || search);
  const until = Math.min(
    LINES + 1,
    from + Math.ceil((limit ?? (filtered ? 2 ** 24 : 2 ** 20)) / LINE),
  );
  if (!filtered)
    return {
      ...page,
      items: range(from, until, begun),
      next: until <= LINES ? (until - 1) * LINE : null,
    };
  const least = level ? ORDER.indexOf(level) : 0;
  const needle = search?.toLowerCase();
  const items = [];
  let line = from;
  for (; line < until && items.length < 1000; line++) {
    if (ORDER.indexOf(levelOf(line)) < least) continue;
    if (needle && !textOf(line).toLowerCase().includes(needle)) continue;
    items.push(lineAt(line, begun));
  }
  return { ...page, items, next: line <= LINES ? (line - 1) * LINE : null };
}
