// Runs of the planted workflows, played through: who started when, waited how long, failed why.

import { chance, DAY, HOUR, iso, median, nowMs, PLANTED, round, uuid, words } from "./base.mjs";

const runsOf = new Map();
const byId = new Map();

/** All runs of a workflow, oldest first. */
export function runs(def) {
  let list = runsOf.get(def.id);
  if (list) return list;
  list = [];
  const last = def.last(PLANTED);
  for (let i = def.count - 1; i >= 0; i--) {
    const logical = last - i * def.period;
    list.push(
      makeRun(
        def,
        logical,
        def.trigger ?? "schedule",
        logical + (def.trigger === "manual" ? 0 : 1500),
        i,
      ),
    );
  }
  for (const b of def.backfills ?? []) list.push(makeRun(def, b.logical, "backfill", b.at, 0));
  list.sort((a, b) => a.created - b.created);
  list.forEach((run, i) => {
    run.previous = list[i - 1]?.id ?? null;
    run.next = list[i + 1]?.id ?? null;
  });
  runsOf.set(def.id, list);
  return list;
}

export function runById(defs, id) {
  if (!byId.has(id)) for (const def of defs) runs(def);
  return byId.get(id);
}

function makeRun(def, logical, trigger, created, age) {
  const id = uuid(`${def.id}${logical}${trigger}`, created);
  const version = def.versionAt
    ? created < def.versionAt
      ? 1
      : 2
    : Math.max(1, def.versions - Math.floor(age / Math.ceil(def.count / def.versions)));
  const run = {
    def,
    id,
    logical,
    trigger,
    created,
    age,
    version,
    date: iso(logical).slice(0, 10),
    generation: 1,
    by: trigger === "manual" ? "mira" : trigger === "backfill" ? "backfill #3 by jo" : "scheduler",
    note: null,
  };
  const tasks = def.live === "rebuild" && age === 0 ? rebuild(run) : play(run);
  run.tasks = tasks;
  finish(run);
  byId.set(id, run);
  return run;
}

/** Adds a run made by hand, through the API. */
export function addRun(def, body, by) {
  const list = runs(def);
  const now = nowMs();
  const run = makeRun(
    { ...def, special: () => undefined, live: "now" },
    body.logical_date ? Date.parse(body.logical_date) : now,
    "manual",
    now,
    0,
  );
  Object.assign(run, {
    def,
    by,
    note: body.note ?? null,
    params: body.params ?? {},
    previous: list.at(-1)?.id ?? null,
  });
  list.push(run);
  return run;
}

function play(run) {
  const r = chance(run.id);
  const done = new Map();
  const tasks = [];
  const speed = (run.version === 2 ? 1.5 : 1) * (0.75 + r() * 0.5);
  const weekly = new Date(run.logical).getUTCDay() === 0;
  const begun = run.created + 300 + r() * 900;
  for (const t of run.def.tasks) {
    const ups = t.depends_on.map((id) => done.get(id));
    const ready = Math.max(begun, ...ups.map((u) => u.end));
    const plan = run.def.special(run, t) ?? {};
    const any = (...states) => ups.some((u) => states.includes(u.state));
    let state = plan.state ?? "succeeded";
    if (t.trigger_rule === "all_success" && any("failed", "upstream_failed"))
      state = "upstream_failed";
    else if (t.trigger_rule === "none_failed_min_one_success" && any("failed", "upstream_failed"))
      state = "upstream_failed";
    else if (t.trigger_rule === "all_success" && any("skipped")) state = "skipped";
    else if (t.branch && (t.branch === "weekly") !== weekly) state = "skipped";
    const tr = { t, state, attempts: [], ready, start: null, end: ready, map: null, generation: 1 };
    if (state !== "upstream_failed" && state !== "skipped") {
      const tries = plan.attempts ?? [{ outcome: "succeeded", seconds: null }];
      let at = ready;
      for (const [k, a] of tries.entries()) {
        const wait = 400 + r() * (r() < 0.15 ? 26_000 : 2_600);
        const lostEarly = a.outcome === "lost" && a.seconds == null;
        const seconds = lostEarly ? 0 : (a.seconds ?? t.seconds) * speed * (0.85 + r() * 0.3);
        const claimed = at + wait;
        const start = lostEarly ? null : claimed + 40;
        const end = (start ?? claimed + 41_000) + seconds * 1000;
        tr.attempts.push({
          ...a,
          n: k + 1,
          ready: at,
          claimed,
          start,
          end,
          wait: (start ?? end) - at,
          seconds: lostEarly ? null : seconds,
          worker: a.worker ?? `w-${1 + Math.floor(r() * 4)}`,
        });
        at = end + (k + 1 < tries.length ? 5_000 : 0);
        tr.end = end;
      }
      tr.start = tr.attempts.find((a) => a.start)?.start ?? null;
      if (plan.failedInstances) state = tr.state = "failed";
    }
    done.set(t.id, tr);
    tasks.push(tr);
    if (t.mapped) expand(tr, plan, tasks, r);
  }
  return tasks;
}

function expand(tr, plan, tasks, r) {
  const total = tr.t.mapped;
  tr.expanded = total;
  if (tr.state === "upstream_failed" || tr.state === "skipped") return;
  const failed = new Set(plan.failedInstances ?? []);
  let end = tr.ready;
  for (let i = 0; i < total; i++) {
    const bad = failed.has(i);
    const wait = 400 + Math.floor(i / 8) * 4000 + r() * 1500;
    const seconds = tr.t.seconds * (0.4 + r()) * (i === 3 ? 2.2 : 1);
    const start = tr.ready + wait;
    const one = {
      outcome: bad ? "failed" : "succeeded",
      n: 1,
      ready: tr.ready,
      claimed: start - 30,
      start,
      end: start + seconds * 1000,
      wait: wait,
      seconds,
      worker: `w-${1 + (i % 4)}`,
      ...(bad
        ? {
            class: "transient",
            cause: "task_failed",
            words: "failed: GET /states/all?region=levant: 502 Bad Gateway",
            message: "GET /states/all?region=levant: 502 Bad Gateway",
          }
        : {}),
    };
    end = Math.max(end, one.end);
    tasks.push({
      t: tr.t,
      state: bad ? "failed" : "succeeded",
      attempts: [one],
      ready: tr.ready,
      start,
      end: one.end,
      map: i,
      generation: 1,
    });
  }
  tr.end = end;
  tr.attempts = [];
  tr.start = tr.ready + 400;
}

/** The full `max_active_tasks: 2`: two run, six are ready and say why they wait. */
function rebuild(run) {
  const [t, swap] = run.def.tasks;
  const begun = run.created + 900;
  const parent = {
    t,
    state: "running",
    attempts: [],
    ready: begun,
    start: begun,
    end: null,
    map: null,
    expanded: 8,
    generation: 1,
  };
  const list = [parent];
  for (let i = 0; i < 8; i++) {
    const runs = i < 2;
    list.push({
      t,
      map: i,
      state: runs ? "running" : "ready",
      ready: begun,
      start: runs ? begun + 40 : null,
      end: null,
      generation: 1,
      attempts: runs
        ? [
            {
              n: 1,
              ready: begun,
              claimed: begun + 20,
              start: begun + 40,
              end: null,
              wait: 40,
              seconds: null,
              worker: `w-${i + 1}`,
              state: "running",
            },
          ]
        : [],
      reason: runs
        ? null
        : {
            kind: "max_active_tasks",
            position: i - 1,
            of: 6,
            usual_seconds: 5400,
            holders: [0, 1].map((k) => ({
              run: run.id,
              task: "rebuild",
              map_index: k,
              since: iso(begun),
            })),
            text: `waits 18 m for a task slot of this run (2/2 used by rebuild[0], rebuild[1]; ${["1st", "2nd", "3rd", "4th", "5th", "6th"][i - 2]} in line; usual hold 1 h 30 m)`,
          },
    });
  }
  list.push({
    t: swap,
    map: null,
    state: "waiting",
    attempts: [],
    ready: null,
    start: null,
    end: null,
    generation: 1,
    reason: {
      kind: "upstream",
      text: "waits for rebuild (0 of 8 done)",
      holders: [{ run: run.id, task: "rebuild" }],
    },
  });
  return list;
}

/** What a task run looks like at `now`: the play is written to its end, the clock shows a part of it. */
export function at(run, tr, now) {
  if (run.def.live !== "now" || tr.ready == null || (tr.end ?? 0) <= now) return tr;
  if (tr.map == null && tr.expanded && tr.start && tr.start <= now)
    return { ...tr, state: "running", end: null };
  const shown = tr.attempts
    .filter((a) => a.claimed <= now)
    .map((a) =>
      a.end <= now
        ? a
        : {
            ...a,
            outcome: null,
            end: null,
            seconds: null,
            state: "running",
            words: `running on ${a.worker}`,
          },
    );
  if (tr.ready > now) {
    const ups = tr.t.depends_on;
    return {
      ...tr,
      state: "waiting",
      attempts: [],
      start: null,
      end: null,
      ready: null,
      reason: {
        kind: "upstream",
        text: `waits for ${ups.join(", ")}`,
        holders: ups.map((task) => ({ run: run.id, task })),
      },
    };
  }
  const live = shown.at(-1);
  if (!live)
    return {
      ...tr,
      state: "ready",
      attempts: [],
      start: null,
      end: null,
      reason: { kind: "no_worker", text: "waits for a free worker slot (8/8 busy)", holders: [] },
    };
  if (live.end) return { ...tr, state: "retry_wait", attempts: shown, end: null };
  return { ...tr, state: "running", attempts: shown, start: live.start, end: null };
}

function finish(run) {
  const own = run.tasks.filter((tr) => tr.map == null);
  run.started = Math.min(...own.map((tr) => tr.start ?? Number.POSITIVE_INFINITY));
  if (run.def.live === "rebuild" && run.age === 0) {
    run.state = "running";
    run.ended = null;
    return;
  }
  run.ended = Math.max(...own.map((tr) => tr.end));
  const leaves = own.filter((tr) => !own.some((o) => o.t.depends_on.includes(tr.t.id)));
  const failed = own.some((tr) => tr.state === "failed");
  // 30 October: the leaf with `all_done` succeeded, and so did the run. Everywhere else a failure is a failure.
  const masked =
    failed &&
    (run.date === "2026-10-30" || run.def.id === "adsb_compaction") &&
    leaves.every((tr) => tr.state === "succeeded");
  run.final = failed && !masked ? "failed" : "succeeded";
  run.masked = masked;
  run.state = run.final;
}

/** State of the run at `now`. */
export function stateOf(run, now) {
  if (run.forced) return run.forced;
  if (run.ended == null) return "running";
  return run.ended > now && run.def.live === "now" ? "running" : run.final;
}

export function usual(def, before) {
  const done = runs(def)
    .filter((r) => r.final === "succeeded" && r !== before && r.ended)
    .slice(-20);
  return median(done.map((r) => (r.ended - r.started) / 1000));
}

export function summary(run, now = nowMs()) {
  const state = stateOf(run, now);
  const live = state === "running" || state === "queued";
  const own = run.tasks.filter((tr) => tr.map == null).map((tr) => at(run, tr, now));
  const bad =
    run.tasks.find((tr) => tr.state === "failed" && tr.attempts.length) ??
    run.tasks.find((tr) => tr.state === "failed");
  const ended = live ? null : run.ended;
  const started = Number.isFinite(run.started) && run.started <= now ? run.started : null;
  return {
    id: run.id,
    workflow: run.def.id,
    state,
    cause: state === "failed" ? "task_failed" : null,
    trigger: run.trigger,
    logical_date: iso(run.logical),
    data_interval: { start: iso(run.logical - (run.def.period ?? DAY)), end: iso(run.logical) },
    created_at: iso(run.created),
    started_at: iso(started),
    ended_at: iso(ended),
    seconds: ended && started ? round((ended - started) / 1000) : null,
    wait_seconds: started ? round((started - run.created) / 1000) : null,
    version: run.version,
    generation: run.generation,
    by: run.by,
    note: run.note,
    masked: !live && run.masked === true,
    attempts_extra: run.tasks.reduce((n, tr) => n + Math.max(0, tr.attempts.length - 1), 0),
    failure:
      bad && !live
        ? {
            task: bad.t.id,
            map_index: bad.map,
            attempt: bad.attempts.length,
            attempts: bad.t.id === "row_counts" ? 3 : Math.max(1, bad.attempts.length),
            class: bad.attempts.at(-1)?.class ?? null,
            line: bad.attempts.at(-1)?.message?.split("\n")[0] ?? "failed",
          }
        : null,
    usual_seconds: round(usual(run.def, run)),
    tasks_done: own.filter(
      (tr) => !["running", "ready", "waiting", "retry_wait"].includes(tr.state),
    ).length,
    tasks_total: own.length,
  };
}

export const HOURS_24 = 24 * HOUR;
export { words };
