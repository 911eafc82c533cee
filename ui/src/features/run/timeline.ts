/** The timeline of a run: rows, ghosts of the usual run, critical path, axis. Pure. */

import type { RunView, TaskRun } from "../../api/types";
import { isLive } from "../../lib/states";
import { ms } from "../../lib/time";
import { type Piece, piecesOf, type Spread, spread, stack } from "./pieces";
import { makeScale, type Scale, type Span } from "./scale";

export type Order = "file" | "start";

export interface Row {
  task: TaskRun;
  pieces: Piece[];
  /** Where the median of the last 20 runs has it, counted from this run's start. */
  ghost?: Span;
  usualSeconds?: number;
  critical: boolean;
  instances?: { list: TaskRun[]; stack: Piece[][]; spread: Spread };
}

export interface Timeline {
  rows: Row[];
  scale: Scale;
  /** The run itself: queued, then at work. */
  run: Piece[];
  usual?: Span;
  /** Now, where something still runs. */
  now?: number;
  /** What of the run's time lies on the critical path, seconds. */
  criticalSeconds?: number;
}

const at = (time: string | null | undefined) => (time ? ms(time) : undefined);

function runPieces(view: RunView, now: number): Piece[] {
  const created = ms(view.run.created_at);
  const started = at(view.run.started_at);
  const live = isLive(view.run.state);
  const ended = at(view.run.ended_at) ?? (live ? now : (started ?? created));
  const pieces: Piece[] = [];
  const waited = started ?? (live ? now : ended);
  if (waited > created)
    pieces.push({ kind: "wait", from: created, until: waited, attempt: 0, live: !started && live });
  if (started !== undefined)
    pieces.push({ kind: "run", from: started, until: Math.max(started, ended), attempt: 0, live });
  return pieces;
}

function firstOf(row: Row): number {
  const own = row.pieces[0]?.from;
  const inner = row.instances?.stack.flatMap((pieces) => pieces.slice(0, 1)) ?? [];
  const all = [...(own === undefined ? [] : [own]), ...inner.map((piece) => piece.from)];
  return all.length > 0 ? Math.min(...all) : Number.POSITIVE_INFINITY;
}

/** How much of the run is spent on its longest chain. */
export function criticalSeconds(rows: readonly Row[]): number | undefined {
  const spans = rows
    .filter((row) => row.critical)
    .flatMap((row) => [...row.pieces, ...(row.instances?.stack.flat() ?? [])]);
  if (spans.length === 0) return undefined;
  const from = Math.min(...spans.map((span) => span.from));
  const until = Math.max(...spans.map((span) => span.until));
  return (until - from) / 1000;
}

/** Everything that the timeline draws. `now` matters only while the run is live. */
export function timeline(view: RunView, now: number, order: Order = "file"): Timeline {
  const live = isLive(view.run.state);
  const critical = new Set(view.critical_path);
  const started = at(view.run.started_at);
  const own = view.tasks.filter((task) => task.map_index == null);
  const mapped = new Map<string, TaskRun[]>();
  for (const task of view.tasks) {
    if (task.map_index == null) continue;
    const list = mapped.get(task.task);
    if (list) list.push(task);
    else mapped.set(task.task, [task]);
  }
  // Instances whose own row is missing still get one.
  for (const [id, list] of mapped)
    if (!own.some((task) => task.task === id) && list[0])
      own.push({ ...list[0], map_index: null, attempts: [], expanded_n: list.length });

  const rows = own.map((task): Row => {
    const list = mapped.get(task.task);
    const usual = view.usual.tasks[task.task];
    const again = task.generation > 1;
    const ghost =
      usual && started !== undefined && !again
        ? {
            from: started + usual.start_seconds * 1000,
            until: started + (usual.start_seconds + usual.seconds) * 1000,
          }
        : undefined;
    return {
      task,
      pieces: list ? [] : piecesOf(task, now),
      critical: critical.has(task.task),
      ...(ghost ? { ghost } : {}),
      ...(usual ? { usualSeconds: usual.seconds } : {}),
      ...(list ? { instances: { list, stack: stack(list, now), spread: spread(list) } } : {}),
    };
  });

  const run = runPieces(view, now);
  const real: Span[] = [
    ...run.filter((piece) => piece.kind === "wait" || rows.length === 0 || piece.live),
    ...rows.flatMap((row) => [...row.pieces, ...(row.instances?.stack.flat() ?? [])]),
  ];
  if (real.length === 0) real.push(...run);
  const realFrom = Math.min(...real.map((span) => span.from));
  const realUntil = Math.max(...real.map((span) => span.until));
  // A ghost may widen the axis, but must not squeeze what happened into a corner.
  const room = realFrom + Math.max((realUntil - realFrom) * 2.5, 5_000);
  const ghosts = rows.flatMap((row) =>
    row.ghost ? [{ from: row.ghost.from, until: Math.min(row.ghost.until, room) }] : [],
  );
  const spans = [...real, ...ghosts.filter((ghost) => ghost.from < room)];
  const scale = makeScale(spans.length > 0 ? spans : [{ from: now, until: now }]);
  const usual =
    view.usual.seconds != null && started !== undefined && view.run.generation === 1
      ? { from: started, until: started + view.usual.seconds * 1000 }
      : undefined;
  const sorted = order === "start" ? [...rows].sort((a, b) => firstOf(a) - firstOf(b)) : rows;
  const path = criticalSeconds(rows);
  return {
    rows: sorted,
    scale,
    run,
    ...(usual ? { usual } : {}),
    ...(live ? { now } : {}),
    ...(path === undefined ? {} : { criticalSeconds: path }),
  };
}
