/** What a task run did when, as pieces on a time axis: waits, attempts, retry waits. Pure. */

import type { Attempt, Outcome, TaskRun } from "../../api/types";
import { ms } from "../../lib/time";

/**
 * `wait`: ready, not started. `run`: an attempt at work. `lost`: an attempt that was given out and never
 * started. `retry`: the pause before the next attempt. `deferred`: out of a slot until something happens.
 */
export type PieceKind = "wait" | "run" | "lost" | "retry" | "deferred";

export interface Piece {
  kind: PieceKind;
  from: number;
  until: number;
  /** Number of the attempt that it belongs to. */
  attempt: number;
  outcome?: Outcome;
  /** Its end is now. */
  live: boolean;
}

const time = (at: string | null | undefined) =>
  at === null || at === undefined ? undefined : ms(at);

function readyOf(attempt: Attempt): number | undefined {
  const ready = time(attempt.ready_at);
  if (ready !== undefined) return ready;
  const begun = time(attempt.started_at) ?? time(attempt.claimed_at);
  if (begun === undefined) return undefined;
  return begun - (attempt.wait_seconds ?? 0) * 1000;
}

/** The pieces of one attempt; `now` ends what is still going on. */
function ofAttempt(attempt: Attempt, now: number): Piece[] {
  const pieces: Piece[] = [];
  const ready = readyOf(attempt);
  const started = time(attempt.started_at);
  const over = attempt.outcome !== null && attempt.outcome !== undefined;
  const ended =
    time(attempt.ended_at) ??
    (started !== undefined && attempt.seconds != null
      ? started + attempt.seconds * 1000
      : undefined);
  const outcome = attempt.outcome ?? undefined;
  const rest = { attempt: attempt.n, ...(outcome ? { outcome } : {}) };
  if (started === undefined && over) {
    // Given out, not heard of: what is known is when it was claimed and when it was given up.
    const claimed = time(attempt.claimed_at) ?? ready ?? ended;
    if (ready !== undefined && claimed !== undefined && claimed > ready)
      pieces.push({ kind: "wait", from: ready, until: claimed, live: false, ...rest });
    if (claimed !== undefined)
      pieces.push({
        kind: "lost",
        from: claimed,
        until: Math.max(claimed, ended ?? claimed),
        live: false,
        ...rest,
      });
    return pieces;
  }
  if (attempt.state === "retry_wait") return pieces;
  const waitEnd = started ?? now;
  if (ready !== undefined && waitEnd > ready)
    pieces.push({
      kind: "wait",
      from: ready,
      until: waitEnd,
      live: started === undefined,
      ...rest,
    });
  if (started !== undefined)
    pieces.push({
      kind: "run",
      from: started,
      until: Math.max(started, over ? (ended ?? started) : now),
      live: !over,
      ...rest,
    });
  return pieces;
}

/** All pieces of a task run in order of time. A task that never ran has none. */
export function piecesOf(task: TaskRun, now: number): Piece[] {
  const attempts = [...task.attempts].sort((a, b) => a.n - b.n);
  const pieces: Piece[] = [];
  let before: Attempt | undefined;
  let end: number | undefined;
  for (const attempt of attempts) {
    const own = ofAttempt(attempt, now);
    const first = own[0];
    if (before && end !== undefined && first && first.from > end) {
      if (before.generation === attempt.generation)
        pieces.push({
          kind: before.outcome === "deferred" ? "deferred" : "retry",
          from: end,
          until: first.from,
          attempt: before.n,
          live: false,
        });
    }
    pieces.push(...own);
    end = own.at(-1)?.until ?? end;
    before = attempt;
  }
  const pause = task.state === "retry_wait" ? "retry" : task.state === "deferred" ? "deferred" : "";
  if (pause && before && end !== undefined && now > end)
    pieces.push({ kind: pause, from: end, until: now, attempt: before.n, live: true });
  return pieces;
}

export interface Spread {
  total: number;
  /** Of those that ran: seconds. */
  min?: number;
  median?: number;
  max?: number;
  slowest?: TaskRun;
}

const ran = (task: TaskRun): number | undefined => {
  if (task.seconds != null) return task.seconds;
  const last = task.attempts.at(-1);
  return last?.seconds ?? undefined;
};

/** Shortest, middle and longest of mapped instances, and which one was the longest. */
export function spread(instances: readonly TaskRun[]): Spread {
  const timed = instances
    .flatMap((task) => {
      const seconds = ran(task);
      return seconds === undefined ? [] : [{ task, seconds }];
    })
    .sort((a, b) => a.seconds - b.seconds);
  const last = timed.at(-1);
  const first = timed[0];
  if (!first || !last) return { total: instances.length };
  const middle = timed.length / 2;
  const at = (index: number) => timed[index]?.seconds ?? 0;
  return {
    total: instances.length,
    min: first.seconds,
    median: timed.length % 2 ? at(Math.floor(middle)) : (at(middle - 1) + at(middle)) / 2,
    max: last.seconds,
    slowest: last.task,
  };
}

/** Pieces of the instances that are drawn: all up to `most`; beyond, the bad and live ones first, then every nth. */
export function stack(instances: readonly TaskRun[], now: number, most = 240): Piece[][] {
  const rows = instances.map((task) => ({ task, pieces: piecesOf(task, now) }));
  const drawn = rows.filter((row) => row.pieces.length > 0);
  let kept = drawn;
  if (drawn.length > most) {
    const loud = drawn.filter((row) => row.task.state !== "succeeded").slice(0, most);
    const quiet = drawn.filter((row) => row.task.state === "succeeded");
    const room = most - loud.length;
    const step = quiet.length / Math.max(1, room);
    const some = Array.from({ length: room }, (_, i) => quiet[Math.floor(i * step)]);
    kept = [...loud, ...some.filter((row) => row !== undefined)];
  }
  return kept
    .sort((a, b) => (a.pieces[0]?.from ?? 0) - (b.pieces[0]?.from ?? 0))
    .map((row) => row.pieces);
}
