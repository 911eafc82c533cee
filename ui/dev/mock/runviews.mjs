// The contract's answers about one run: view, task run, plan, events, log.

import { hex, iso, median, nowMs, round, words } from "./base.mjs";
import { at, runs, stateOf, summary } from "./history.mjs";
import { logPage } from "./logs.mjs";
import { graph } from "./views.mjs";

const WORDS = { succeeded: "succeeded", failed: "failed", lost: "lost", timed_out: "timed out" };

function attempt(a) {
  return {
    n: a.n,
    dispatch_no: a.n,
    try_no: a.n,
    generation: 1,
    outcome: a.outcome ?? null,
    state: a.outcome ? null : (a.state ?? "running"),
    cause: a.cause ?? null,
    cause_words: a.words ?? WORDS[a.outcome] ?? `running on ${a.worker}`,
    class: a.class ?? null,
    message: a.message ?? null,
    worker: a.worker,
    claimed_at: iso(a.claimed),
    started_at: iso(a.start),
    ended_at: iso(a.end),
    ready_at: iso(a.ready),
    wait_seconds: round(a.wait / 1000),
    seconds: round(a.seconds),
    log: a.log !== false,
  };
}

export function taskRun(run, raw, now = nowMs()) {
  const tr = at(run, raw, now);
  const bad = tr.state === "failed" ? tr.attempts.at(-1) : null;
  const many = tr.expanded
    ? run.tasks.filter((o) => o.t.id === tr.t.id && o.map != null).map((o) => at(run, o, now))
    : null;
  const firstBad = many?.find((m) => m.state === "failed")?.attempts.at(-1);
  const e = bad ?? firstBad;
  const count = (...s) => many.filter((m) => s.includes(m.state)).length;
  const last = tr.attempts.at(-1);
  return {
    task: tr.t.id,
    map_index: tr.map,
    type: tr.t.type,
    state: tr.state,
    cause: e?.cause ?? null,
    cause_words:
      e?.words ??
      (tr.state === "upstream_failed"
        ? `did not run: ${tr.t.depends_on.join(", ")} failed`
        : tr.state === "skipped"
          ? "skipped: the branch chose the other path"
          : null),
    generation: tr.generation,
    depends_on: tr.t.depends_on,
    error: e
      ? {
          class: e.class ?? "permanent",
          message: e.message,
          line: e.message.split("\n")[0],
          log_line: 42,
        }
      : null,
    started_at: iso(tr.start),
    ended_at: ["running", "ready", "waiting", "retry_wait"].includes(tr.state) ? null : iso(tr.end),
    seconds:
      tr.expanded && tr.end && tr.start ? round((tr.end - tr.start) / 1000) : round(last?.seconds),
    wait_seconds: last ? round(last.wait / 1000) : null,
    attempts: tr.attempts.map(attempt),
    expanded_n: tr.expanded ?? null,
    instances: many
      ? {
          total: tr.expanded,
          succeeded: count("succeeded"),
          failed: count("failed"),
          running: count("running"),
          waiting: count("ready", "waiting", "retry_wait"),
        }
      : null,
    reason: tr.reason ?? null,
    output_bytes: tr.state === "succeeded" ? 212 : null,
    retry_at: tr.state === "retry_wait" ? iso(now + 5000) : null,
    items:
      tr.t.type === "quality" && tr.attempts.length
        ? { pass: tr.state === "failed" ? 6 : 7, warn: 1, fail: tr.state === "failed" ? 1 : 0 }
        : tr.t.type === "dbt" && tr.state === "succeeded"
          ? { pass: 4, warn: 0, fail: 0 }
          : null,
  };
}

export function sentence(s, blocked) {
  if (s.state === "failed")
    return `Failed after ${words(s.seconds)} at \`${s.failure.task}\` (attempt ${s.failure.attempt} of ${s.failure.attempts}): ${s.failure.line}${blocked ? `; ${blocked} task${blocked === 1 ? "" : "s"} did not run` : ""}.`;
  if (s.masked)
    return `Succeeded after ${words(s.seconds)}, but hides a failure: \`${s.failure.task}\` failed (${s.failure.line}) and an \`all_done\` task ended the run.`;
  if (s.state === "running") return `Running: ${s.tasks_done} of ${s.tasks_total} tasks are done.`;
  if (s.state === "cancelled") return "Cancelled by mira.";
  return `Succeeded after ${words(s.seconds ?? 0)}.`;
}

export function runFull(run) {
  const s = summary(run);
  const blocked = run.tasks.filter((t) => t.state === "upstream_failed").length;
  const live = s.state === "running";
  const n = blocked + run.tasks.filter((t) => t.state === "failed" && t.map == null).length;
  return {
    ...s,
    params: run.params ?? (run.def.last_params ? run.def.last_params : {}),
    run_key: `${run.trigger}:${s.logical_date}`,
    queue: "default",
    priority: 0,
    version_is_newest: run.version === run.def.versions,
    sha256: hex(`${run.def.id}${run.version}`, 64),
    path: run.def.path,
    sentence: sentence(s, blocked),
    events: run.tasks.length * 4 + 3,
    run_version: run.tasks.length * 3 + 2,
    actions: {
      retry: n && !live ? { label: `Re-run ${n} task${n === 1 ? "" : "s"}`, tasks: n } : null,
      cancel: live
        ? {
            label: `Cancel ${run.tasks.length - s.tasks_done} tasks`,
            tasks: run.tasks.length - s.tasks_done,
          }
        : null,
      rerun: live ? null : { label: `Re-run all ${s.tasks_total} tasks`, tasks: s.tasks_total },
      mark: { label: live ? "Mark…" : "Mark…", tasks: s.tasks_total },
      repair: null,
    },
  };
}

export function runView(run) {
  const now = nowMs();
  const done = runs(run.def)
    .filter((r) => r.final === "succeeded" && r !== run && r.ended)
    .slice(-20);
  const tasks = {};
  for (const t of run.def.tasks) {
    const same = done
      .map((r) => ({ r, tr: r.tasks.find((x) => x.t.id === t.id) }))
      .filter((x) => x.tr?.start);
    if (same.length)
      tasks[t.id] = {
        start_seconds: round(median(same.map(({ r, tr }) => (tr.start - r.started) / 1000))),
        seconds: round(median(same.map(({ tr }) => (tr.end - tr.start) / 1000))),
      };
  }
  const own = run.tasks.filter((t) => t.map == null);
  const path = [];
  let cur = own.filter((t) => t.start).sort((a, b) => (b.end ?? 0) - (a.end ?? 0))[0];
  while (cur) {
    path.unshift(cur.t.id);
    cur = own
      .filter((o) => cur.t.depends_on.includes(o.t.id) && o.start)
      .sort((a, b) => b.end - a.end)[0];
  }
  return {
    run: runFull(run),
    tasks: run.tasks.map((tr) => taskRun(run, tr, now)),
    graph: graph(run.def),
    usual: { seconds: summary(run).usual_seconds, tasks },
    critical_path: path,
    previous: run.previous,
    next: run.next,
  };
}

/** The log that comes along: of the attempt that is asked for, else of the newest; at its first error. */
function logHead(run, raw, { attempt, line }) {
  const n = attempt ?? raw.attempts.length;
  if (!raw.attempts[n - 1]) return { log_attempt: null, log_head: null };
  const { first_error } = logPage(run, raw, n, { tail: 1 });
  const around = line ?? first_error?.line;
  const page = logPage(run, raw, n, around ? { around } : { tail: 200 });
  return { log_attempt: n, log_head: { ...page, next: page.next ?? page.bytes } };
}

export function taskView(run, task, map, ask = {}) {
  const now = nowMs();
  const raw = run.tasks.find((t) => t.t.id === task && (t.map ?? null) === (map ?? null));
  if (!raw) return null;
  const tr = taskRun(run, raw, now);
  const def = run.def.tasks.find((t) => t.id === task);
  const own = (id) => run.tasks.find((t) => t.t.id === id && t.map == null);
  const bad = tr.state === "failed";
  const day = iso(run.logical).slice(0, 10);
  return {
    run: summary(run),
    task_run: tr,
    params_written: {
      statement:
        "insert into {{ params.table }} select * from staging where day = '{{ data_interval.start | date }}'",
      table: task,
      limit: 500,
      url: "https://opensky.test/states/all?region={{ item }}",
    },
    params_rendered: tr.attempts.length
      ? {
          statement: `insert into ${task} select * from staging where day = '${day}'`,
          table: task,
          limit: 500,
          url: `https://opensky.test/states/all?region=${["levant", "ural", "tasman", "iberia"][(map ?? 0) % 4]}`,
        }
      : null,
    params_previous: {
      statement: `insert into ${task} select * from staging where day = '2026-11-20'`,
      table: task,
      limit: 500,
      url: "https://opensky.test/states/all?region=levant",
    },
    output:
      tr.state === "succeeded"
        ? {
            rows: 48211,
            dataset: { uri: `file:///data/${task}/${day}.parquet` },
            checks: { passed: 7 },
          }
        : null,
    output_schema: {
      type: "object",
      properties: {
        rows: { type: "integer" },
        dataset: { type: "object" },
        checks: { type: "object" },
      },
    },
    items:
      def.type === "quality"
        ? [
            {
              kind: "check",
              name: "row_count within 30 % of the 7-day mean",
              state: bad ? "fail" : "pass",
              seconds: 1.2,
              value: 922906,
              message: bad ? "922 906 is 61 % below 2 364 118" : null,
            },
            { kind: "check", name: "icao24 is never null", state: "pass", seconds: 0.4, value: 0 },
            {
              kind: "check",
              name: "callsign is null in < 10 %",
              state: "warn",
              seconds: 0.5,
              value: 0.097,
              message: "9.7 %, near the limit",
            },
            {
              kind: "check",
              name: "time_position is of this day",
              state: "pass",
              seconds: 0.3,
              value: 0,
            },
          ]
        : def.type === "dbt"
          ? [
              {
                kind: "model",
                name: task,
                state: bad ? "fail" : "pass",
                seconds: 6.1,
                value: 48211,
              },
              {
                kind: "test",
                name: `not_null_${task}_icao24`,
                state: "pass",
                seconds: 0.4,
                value: 0,
              },
              { kind: "test", name: `unique_${task}_id`, state: "pass", seconds: 0.6, value: 0 },
            ]
          : [],
    metrics: tr.attempts.length
      ? [
          { name: "rows_written", value: 48211, unit: "rows", labels: {} },
          { name: "bytes_read", value: 18_412_991, unit: "bytes", labels: { source: "opensky" } },
        ]
      : [],
    datasets:
      tr.state === "succeeded" && def.type !== "branch"
        ? [
            {
              name: task,
              uri: `file:///data/${task}/${day}.parquet`,
              format: "parquet",
              rows: 48211,
              bytes: 3_211_004,
              sha256: hex(task + day, 64),
              columns: [
                { name: "icao24", type: "utf8", nulls: 0 },
                { name: "callsign", type: "utf8", nulls: 4711 },
                { name: "lat", type: "float64", nulls: 12 },
                { name: "lon", type: "float64", nulls: 12 },
                { name: "seen_at", type: "timestamp[ms, UTC]", nulls: 0 },
              ],
              sample: Array.from({ length: 5 }, (_, i) => [
                hex(`a${i}`, 6),
                i === 2 ? null : `DLH${400 + i}`,
                50.1 + i / 10,
                8.5 + i / 7,
                iso(run.logical + i * 1000),
              ]),
            },
          ]
        : [],
    siblings: run.tasks
      .filter((t) => t.map == null || t.t.id === task)
      .map((t) => ({ task: t.t.id, map_index: t.map, state: at(run, t, now).state })),
    upstream: def.depends_on.map((id) => ({ task: id, state: at(run, own(id), now).state })),
    downstream: run.def.tasks.filter((t) => t.depends_on.includes(task)).map((t) => t.id),
    history: runs(run.def)
      .slice(-20)
      .map((r) => {
        const t = r.tasks.find((x) => x.t.id === task && (x.map ?? null) === (map ?? null));
        return t
          ? {
              run: r.id,
              state: at(r, t, now).state,
              seconds: round(t.attempts.at(-1)?.seconds),
              attempts: t.attempts.length,
              logical_date: iso(r.logical),
            }
          : null;
      })
      .filter(Boolean),
    ...logHead(run, raw, ask),
    instances: tr.expanded_n
      ? run.tasks.filter((t) => t.t.id === task && t.map != null).map((t) => taskRun(run, t, now))
      : null,
  };
}

export function plan(run, action, body) {
  const own = run.tasks.filter((t) => t.map == null);
  let picked;
  if (action === "cancel")
    picked = own.filter((t) => ["running", "ready", "waiting"].includes(at(run, t, nowMs()).state));
  else if (body.tasks?.length) {
    const ids = new Set(body.tasks.map((x) => (typeof x === "string" ? x : x.task)));
    for (let grown = body.downstream === true; grown; ) {
      grown = false;
      for (const t of own)
        if (!ids.has(t.t.id) && t.t.depends_on.some((u) => ids.has(u))) {
          ids.add(t.t.id);
          grown = true;
        }
    }
    picked = own.filter((t) => ids.has(t.t.id));
  } else if (body.what === "all") picked = own;
  else picked = own.filter((t) => ["failed", "upstream_failed"].includes(t.state));
  const n = picked.length;
  const effect = { retry: "rerun", cancel: "cancel", mark: "mark" }[action];
  const verb = { retry: "Re-run", cancel: "Cancel", mark: `Mark` }[action];
  return {
    action,
    text: `${verb} ${n} task${n === 1 ? "" : "s"}${action === "mark" ? ` as ${body.state}` : ""}`,
    run: run.id,
    workflow: run.def.id,
    version:
      action === "retry"
        ? { from: run.version, to: body.version === "newest" ? run.def.versions : run.version }
        : null,
    tasks: picked.map((t) => ({
      task: t.t.id,
      map_index: null,
      state: at(run, t, nowMs()).state,
      effect,
      why:
        t.state === "failed"
          ? "failed"
          : t.state === "upstream_failed"
            ? "did not run because of it"
            : "chosen",
    })),
    runs: 1,
    estimate_seconds:
      action === "retry" ? round(picked.reduce((s, t) => s + t.t.seconds, 0)) : null,
    warnings:
      action === "retry" && body.version === "newest" && run.version !== run.def.versions
        ? ["version 2 has a task that version 1 has not: schema"]
        : [],
  };
}

export function events(run) {
  const list = [
    {
      version: 1,
      at: iso(run.created),
      actor: run.by,
      events: [{ type: "run_created", trigger: run.trigger, version: run.version }],
    },
  ];
  const now = nowMs();
  const marks = run.tasks
    .flatMap((t) =>
      t.attempts.flatMap((a) => [
        {
          at: a.claimed,
          actor: a.worker,
          e: { type: "attempt_claimed", task: t.t.id, map_index: t.map, attempt: a.n },
        },
        ...(a.start
          ? [
              {
                at: a.start,
                actor: a.worker,
                e: { type: "attempt_started", task: t.t.id, map_index: t.map, attempt: a.n },
              },
            ]
          : []),
        ...(a.end
          ? [
              {
                at: a.end,
                actor: a.worker,
                e: {
                  type: `attempt_${a.outcome}`,
                  task: t.t.id,
                  map_index: t.map,
                  attempt: a.n,
                  cause: a.cause ?? undefined,
                },
              },
            ]
          : []),
      ]),
    )
    .filter((m) => m.at <= now)
    .sort((a, b) => a.at - b.at);
  for (const m of marks)
    list.push({ version: list.length + 1, at: iso(m.at), actor: m.actor, events: [m.e] });
  const state = stateOf(run, now);
  if (state !== "running")
    list.push({
      version: list.length + 1,
      at: iso(run.ended),
      actor: "engine",
      events: [{ type: `run_${state}` }],
    });
  return { items: list, next: null };
}
