// The first page: incidents, what runs, what waits and why, what comes.

import { DAY, HOUR, iso, MIN, nowMs } from "./base.mjs";
import { runs, stateOf, summary } from "./history.mjs";
import { nextFires } from "./views.mjs";

export function home(defs) {
  const now = nowMs();
  const since = now - DAY;
  const all = defs.flatMap((d) => runs(d).filter((r) => r.created <= now));
  const ended = all.filter((r) => r.ended && r.ended <= now && r.ended >= since);
  const failed = ended.filter((r) => stateOf(r, now) === "failed");
  const running = all.filter((r) => stateOf(r, now) === "running");
  const incidents = [];
  for (const r of ended.filter((x) => stateOf(x, now) === "failed" || x.masked)) {
    const s = summary(r, now);
    const list = runs(r.def).filter((x) => x.created <= r.created && x.trigger === r.trigger);
    let row = 0;
    for (let i = list.length - 1; i >= 0 && list[i].final === "failed"; i--) row += 1;
    const blocked = r.tasks.filter((t) => t.state === "upstream_failed").length;
    const bad = r.tasks.find((t) => t.state === "failed" && t.attempts.length);
    incidents.push({
      id: `run-${r.id}`,
      kind: r.masked ? "masked_failure" : "run_failed",
      workflow: r.def.id,
      run: r.id,
      task: s.failure.task,
      map_index: s.failure.map_index,
      at: s.ended_at,
      attempt: s.failure.attempt,
      attempts: s.failure.attempts,
      cause: bad.attempts.at(-1).words,
      error_class: s.failure.class,
      line: s.failure.line,
      log_line: 42,
      blocked,
      trigger: r.trigger,
      logical_date: s.logical_date,
      since: row > 1 ? iso(list[list.length - row].ended) : null,
      failures_in_row: row || null,
      retry: r.masked
        ? { label: "Re-run 1 task", tasks: 1 }
        : { label: `Re-run ${blocked + 1} task${blocked ? "s" : ""}`, tasks: blocked + 1 },
    });
  }
  incidents.push(
    {
      id: "worker-3",
      kind: "worker_lost",
      workflow: "position_reports",
      run: running.find((r) => r.def.id === "position_reports")?.id ?? null,
      task: "decode",
      at: iso(now - 100 * MIN),
      cause: "worker w-3 (host etl-2) stopped answering at 19:04:12; its 2 attempts run elsewhere",
      blocked: 0,
      attempt: 1,
      attempts: 3,
    },
    {
      id: "late-sla",
      kind: "late",
      workflow: "nightly_sla",
      at: "2026-11-23T20:15:00Z",
      cause: "due at 20:15 UTC, not started: max_active_runs 1 is held by the run of 22 Nov",
      blocked: 1,
    },
    {
      id: "file-1",
      kind: "file_broken",
      workflow: "crew_sync",
      at: iso(now - 47 * MIN),
      cause: "workflows/crew_sync.yaml does not parse; version 3 keeps running",
      line: "E0102 line 14: unknown key `depend_on`, did you mean `depends_on`?",
      blocked: 0,
    },
    {
      id: "skip-1",
      kind: "fires_skipped",
      workflow: "adsb_compaction",
      at: iso(now - 20 * HOUR),
      cause: "7 fires were not run while the daemon was down (catchup: latest)",
      blocked: 0,
    },
  );
  incidents.sort((a, b) => b.at.localeCompare(a.at));
  const rebuildRun = running.find((r) => r.def.id === "clickhouse_rebuild");
  const waiting = (rebuildRun?.tasks ?? [])
    .filter((t) => t.state === "ready")
    .map((t) => ({
      workflow: "clickhouse_rebuild",
      run: rebuildRun.id,
      task: "rebuild",
      map_index: t.map,
      state: "ready",
      since: iso(t.ready),
      reason: t.reason,
    }));
  waiting.push({
    workflow: "nightly_sla",
    run: null,
    task: null,
    state: "queued",
    since: "2026-11-23T20:15:00Z",
    reason: {
      kind: "max_active_runs",
      text: "waits 29 m for the one run that `max_active_runs: 1` allows (held by the run of 22 Nov, usual 50 s)",
      holders: [{ run: runs(defs.find((d) => d.id === "nightly_sla")).at(-1).id }],
      position: 1,
      of: 1,
      usual_seconds: 50,
    },
  });
  const next = defs
    .flatMap((d) =>
      nextFires(d, 1, now).map((t) => ({
        workflow: d.id,
        at: iso(t),
        in_seconds: Math.round((t - now) / 1000),
        schedule: d.schedule.words,
      })),
    )
    .sort((a, b) => a.at.localeCompare(b.at))
    .slice(0, 5);
  return {
    now: iso(now),
    window: { since: iso(since), until: iso(now), label: "runs that ended in the last 24 h" },
    counts: {
      failed: failed.length,
      late: 1,
      running: running.length,
      queued: 1,
      waiting_tasks: waiting.length - 1,
      succeeded: ended.length - failed.length,
      skipped_fires: 7,
    },
    incidents,
    running: running.map((r) => summary(r, now)).reverse(),
    waiting,
    next,
    late: [
      {
        workflow: "nightly_sla",
        due: "2026-11-23T20:15:00Z",
        late_seconds: Math.round((now - Date.parse("2026-11-23T20:15:00Z")) / 1000),
        reason: "max_active_runs 1 is held by the run of 22 Nov, running for 24 h 29 m",
      },
    ],
    broken_files: brokenFiles(now),
    health: [
      { name: "store", state: "ok", text: "SQLite, 0.4 ms" },
      { name: "scheduler", state: "ok", text: "64 schedules, none overdue" },
      { name: "workers", state: "warn", text: "3 of 4 answer; w-3 since 19:04 not" },
      { name: "catalog", state: "warn", text: "1 of 65 files is broken" },
      { name: "api", state: "ok", text: "up 6 d" },
    ],
  };
}

export function brokenFiles(now) {
  return [
    {
      path: "workflows/crew_sync.yaml",
      workflow: "crew_sync",
      since: iso(now - 47 * MIN),
      kept_version: 3,
      diagnostics: [
        {
          code: "E0102",
          severity: "error",
          message: "unknown key `depend_on`",
          path: "workflows/crew_sync.yaml",
          line: 14,
          column: 5,
          end_line: 14,
          end_column: 14,
          hint: "did you mean `depends_on`?",
          excerpt: "14 |     depend_on: [extract]\n   |     ^^^^^^^^^",
        },
      ],
    },
  ];
}
