/** Lines of two texts side by side: Myers' shortest edit script, by line. Pure. */

export interface DiffLine {
  readonly kind: "same" | "added" | "removed";
  /** Line numbers from 1; absent on the side that has no such line. */
  readonly before?: number;
  readonly after?: number;
  readonly text: string;
}

export function diffLines(before: string, after: string): DiffLine[] {
  const a = lines(before);
  const b = lines(after);
  const trace: Map<number, number>[] = [];
  let furthest = new Map<number, number>([[1, 0]]);
  const most = a.length + b.length;
  search: for (let d = 0; d <= most; d += 1) {
    trace.push(new Map(furthest));
    const next = new Map(furthest);
    for (let k = -d; k <= d; k += 2) {
      const down = next.get(k + 1) ?? -1;
      const right = next.get(k - 1) ?? -1;
      let x = k === -d || (k !== d && right < down) ? down : right + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x += 1;
      next.set(k, x);
      if (x >= a.length && x - k >= b.length) break search;
    }
    furthest = next;
  }
  return walkBack(a, b, trace);
}

function lines(text: string): string[] {
  const list = text.split("\n");
  if (list.at(-1) === "") list.pop();
  return list;
}

function walkBack(a: string[], b: string[], trace: readonly Map<number, number>[]): DiffLine[] {
  const found: DiffLine[] = [];
  let x = a.length;
  let y = b.length;
  for (let d = trace.length - 1; d >= 0; d -= 1) {
    const reach = trace[d] ?? new Map<number, number>();
    const k = x - y;
    const down = reach.get(k + 1) ?? -1;
    const right = reach.get(k - 1) ?? -1;
    const fromK = k === -d || (k !== d && right < down) ? k + 1 : k - 1;
    const fromX = reach.get(fromK) ?? 0;
    const fromY = fromX - fromK;
    while (x > fromX && y > fromY && x > 0 && y > 0) {
      found.push({ kind: "same", before: x, after: y, text: a[x - 1] ?? "" });
      x -= 1;
      y -= 1;
    }
    if (d === 0) break;
    if (x === fromX) found.push({ kind: "added", after: y, text: b[y - 1] ?? "" });
    else found.push({ kind: "removed", before: x, text: a[x - 1] ?? "" });
    x = fromX;
    y = fromY;
  }
  return found.reverse();
}

export interface Hunk {
  /** Unchanged lines left out before it. */
  readonly skipped: number;
  readonly lines: readonly DiffLine[];
}

/** Only what changed, with `context` lines around it. */
export function hunks(diff: readonly DiffLine[], context = 4): Hunk[] {
  const near = diff.map(() => false);
  diff.forEach((line, index) => {
    if (line.kind === "same") return;
    const until = Math.min(diff.length - 1, index + context);
    for (let i = Math.max(0, index - context); i <= until; i += 1) near[i] = true;
  });
  const found: { skipped: number; lines: DiffLine[] }[] = [];
  let skipped = 0;
  diff.forEach((line, index) => {
    if (!near[index]) {
      skipped += 1;
      return;
    }
    const last = found.at(-1);
    if (last && skipped === 0) last.lines.push(line);
    else found.push({ skipped, lines: [line] });
    skipped = 0;
  });
  if (skipped > 0 && found.length > 0) found.push({ skipped, lines: [] });
  return found;
}

/** Removed and added lines of one place beside each other. */
export function sideBySide(list: readonly DiffLine[]): { left?: DiffLine; right?: DiffLine }[] {
  const rows: { left?: DiffLine; right?: DiffLine }[] = [];
  let removed: DiffLine[] = [];
  let added: DiffLine[] = [];
  const flush = () => {
    for (let i = 0; i < Math.max(removed.length, added.length); i += 1) {
      const left = removed[i];
      const right = added[i];
      rows.push({ ...(left ? { left } : {}), ...(right ? { right } : {}) });
    }
    removed = [];
    added = [];
  };
  for (const line of list) {
    if (line.kind === "removed") removed.push(line);
    else if (line.kind === "added") added.push(line);
    else {
      flush();
      rows.push({ left: line, right: line });
    }
  }
  flush();
  return rows;
}
