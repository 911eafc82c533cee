// The contract's answers about workflows and home, made from the played history.

import { hex, iso, median, nowMs, round } from "./base.mjs";
import { at, runs, stateOf, summary, usual } from "./history.mjs";

const LETTER = {
  succeeded: "s",
  failed: "f",
  skipped: "k",
  upstream_failed: "u",
  cancelled: "c",
  running: "r",
  ready: "y",
  waiting: "w",
  retry_wait: "t",
  deferred: "d",
  removed: "x",
};

export function nextFires(def, n, now = nowMs()) {
  if (!def.schedule || def.paused) return [];
  const out = [];
  let t = def.last(now) + def.period;
  while (out.length < n) {
    if (t > now) out.push(t);
    t += def.period;
  }
  return out;
}

export function bar(run, now) {
  const s = summary(run, now);
  return {
    id: run.id,
    state: s.state,
    trigger: run.trigger,
    logical_date: s.logical_date,
    seconds: s.seconds,
    wait_seconds: s.wait_seconds,
    masked: s.masked,
    attempts_extra: s.attempts_extra,
  };
}

export function workflowSummary(def, now = nowMs()) {
  const list = runs(def).filter((r) => r.created <= now);
  const last = list.at(-1);
  const secs = list
    .filter((r) => r.final === "succeeded" && r.ended)
    .map((r) => (r.ended - r.started) / 1000);
  const state = last ? stateOf(last, now) : "none";
  const finished = list.filter((r) => !["running", "queued"].includes(stateOf(r, now))).at(-1);
  const attention = def.paused
    ? "paused"
    : finished && stateOf(finished, now) === "failed"
      ? "failing"
      : def.late
        ? "late"
        : state === "running"
          ? "running"
          : last
            ? "ok"
            : "none";
  return {
    id: def.id,
    description: def.description || null,
    owner: def.owner,
    tags: def.tags,
    paused: def.paused,
    state: "active",
    attention,
    schedule: def.schedule ?? null,
    next_fire: iso(nextFires(def, 1, now)[0]),
    recent: list.slice(-20).map((r) => bar(r, now)),
    last_run: last ? summary(last, now) : null,
    median_seconds: round(median(secs)),
    p95_seconds: round(median(secs, 0.95)),
    why_not: def.paused
      ? (def.pausedWhy ?? "paused by jo 3 d ago")
      : def.late
        ? `late: due 20:15 UTC; ${def.late.reason}`
        : null,
    diagnostics: def.id === "weather_ingest" ? 1 : 0,
    version: def.versions,
    path: def.path,
  };
}

const RANK = { failing: 0, late: 1, running: 2, ok: 3, none: 4, paused: 5 };

export function workflowList(defs, q) {
  let list = defs.map((d) => workflowSummary(d));
  const tags = [...new Set(list.flatMap((w) => w.tags))].sort();
  const has = (key) => (q.get(key) ?? "").split(",").filter(Boolean);
  const search = (q.get("search") ?? "").toLowerCase();
  if (search)
    list = list.filter((w) =>
      `${w.id} ${w.description} ${w.owner} ${w.tags.join(" ")}`.toLowerCase().includes(search),
    );
  for (const tag of has("tag")) list = list.filter((w) => w.tags.includes(tag));
  const owners = has("owner");
  if (owners.length) list = list.filter((w) => owners.includes(w.owner));
  const states = has("state");
  if (states.length)
    list = list.filter((w) => states.some((s) => (s === "active" ? !w.paused : s === w.attention)));
  const sort = q.get("sort") ?? "attention";
  if (sort === "name") list.sort((a, b) => a.id.localeCompare(b.id));
  else list.sort((a, b) => RANK[a.attention] - RANK[b.attention] || a.id.localeCompare(b.id));
  return { items: list, next: null, tags };
}

const SOURCE_HEAD = { 1: "", 2: "  # since v2: names of regions instead of boxes\n" };

export function source(def, version) {
  const lines = [
    `id: ${def.id}`,
    `description: ${JSON.stringify(def.description)}`,
    `owner: ${def.owner}`,
    `tags: [${def.tags.join(", ")}]`,
  ];
  if (def.schedule)
    lines.push(
      "schedule:",
      `  cron: "${def.schedule.text}"`,
      `  timezone: ${def.schedule.timezone}`,
    );
  lines.push(`catchup: ${def.catchup}`);
  if (def.max_active_tasks) lines.push(`max_active_tasks: ${def.max_active_tasks}`);
  lines.push("", "tasks:");
  for (const t of def.tasks) {
    if (version === 1 && t.id === "schema") continue;
    lines.push(`  - id: ${t.id}`, `    type: ${t.type}`);
    if (t.depends_on.length) lines.push(`    depends_on: [${t.depends_on.join(", ")}]`);
    if (t.trigger_rule !== "all_success") lines.push(`    trigger_rule: ${t.trigger_rule}`);
    if (t.conn) lines.push(`    conn: ${t.conn}`);
    lines.push(`    retry: { attempts: ${version === 1 ? 1 : 3}, delay: 5s }`);
    if (t.id === "fetch_region")
      lines.push(
        ...(SOURCE_HEAD[version] ? [SOURCE_HEAD[2].trimEnd()] : []),
        "    with:",
        "      url: https://opensky.test/states/all",
        `      ${version === 1 ? "box" : "region"}: "{{ item }}"`,
      );
    if (t.type === "sql")
      lines.push(
        "    with:",
        `      statement: "insert into ${t.id} select * from staging where day = '{{ data_interval.start | date }}'"`,
      );
  }
  return `${lines.join("\n")}\n`;
}

export function diagnostics(def) {
  if (def.id !== "weather_ingest") return [];
  return [
    {
      code: "W0207",
      severity: "warning",
      message: "`retry.delay` of 5 s is shorter than the time-out of the source",
      path: def.path,
      line: 9,
      column: 5,
      end_line: 9,
      end_column: 10,
      hint: "write `delay: 1m`",
    },
  ];
}

export function workflow(def) {
  return {
    ...workflowSummary(def),
    params_schema: def.params_schema,
    last_params: def.last_params ?? null,
    tasks: def.tasks.map(({ id, type, depends_on, trigger_rule, conn }) => ({
      id,
      type,
      depends_on,
      trigger_rule,
      conn: conn ?? null,
    })),
    catchup: def.catchup,
    data_interval: "window",
    max_active_runs: def.max_active_runs,
    max_active_tasks: def.max_active_tasks,
    overlap: "queue",
    timeout_seconds: null,
    start_date: "2026-01-01",
    end_date: null,
    diagnostics_list: diagnostics(def),
    versions: def.versions,
    skipped_fires: def.id === "adsb_compaction" ? 7 : 0,
    sha256: hex(def.id, 64),
    source_id: "main",
  };
}

function depths(tasks) {
  const d = new Map();
  for (const t of tasks) d.set(t.id, Math.max(-1, ...t.depends_on.map((u) => d.get(u) ?? 0)) + 1);
  return d;
}

export function grid(def, q) {
  const now = nowMs();
  const n = Math.min(500, Number(q.get("runs") ?? 60));
  let list = runs(def).filter((r) => r.created <= now);
  const trigger = q.get("trigger"),
    state = q.get("state"),
    before = q.get("before");
  if (trigger) list = list.filter((r) => r.trigger === trigger);
  if (state) list = list.filter((r) => state.split(",").includes(stateOf(r, now)));
  if (before)
    list = list.slice(
      0,
      Math.max(
        0,
        list.findIndex((r) => r.id === before),
      ),
    );
  const shown = list.slice(-n);
  const depth = depths(def.tasks);
  return {
    workflow: def.id,
    tasks: def.tasks.map((t) => ({
      id: t.id,
      type: t.type,
      depth: depth.get(t.id),
      removed: false,
    })),
    runs: shown.map((r, i) => gridRun(def, r, shown[i - 1], now, n > 100)),
    more: list.length > n,
    median_seconds: round(usual(def)),
    planned: nextFires(def, 3, now).map(iso),
  };
}

function gridRun(def, run, before, now, brief) {
  const s = summary(run, now);
  let cells = "";
  const extra = {};
  def.tasks.forEach((t, index) => {
    if (run.version === 1 && t.id === "schema") {
      cells += ".";
      return;
    }
    const all = run.tasks
      .filter((tr) => tr.t === t || tr.t.id === t.id)
      .map((tr) => at(run, tr, now));
    const own = all[0];
    cells += LETTER[own.state];
    const e = {};
    if (own.attempts.length > 1) e.a = own.attempts.length;
    const last = own.attempts.at(-1);
    if (!brief && last?.wait != null) e.w = Math.round(last.wait);
    if (brief && !e.a && own.state === "succeeded" && !own.expanded) return;
    if (last?.seconds) e.m = Math.round(last.seconds * 1000);
    else if (own.expanded && own.end && own.start) e.m = Math.round(own.end - own.start);
    if (own.expanded) {
      const many = all.slice(1);
      const c = (st) => many.filter((m) => m.state === st).length;
      Object.assign(e, { n: own.expanded, ns: c("succeeded"), nf: c("failed"), nr: c("running") });
    }
    const bad = all.find((m) => m.state === "failed" && m.attempts.length);
    if (bad) e.e = bad.attempts.at(-1).message.split("\n")[0].slice(0, 120);
    if (Object.keys(e).length) extra[index] = e;
  });
  return {
    id: run.id,
    state: s.state,
    trigger: run.trigger,
    logical_date: s.logical_date,
    created_at: s.created_at,
    started_at: s.started_at,
    ended_at: s.ended_at,
    seconds: s.seconds,
    wait_seconds: s.wait_seconds,
    version: run.version,
    version_changed: before ? before.version !== run.version : false,
    masked: s.masked,
    generation: run.generation,
    cells,
    extra,
  };
}

export function graph(def) {
  const depth = depths(def.tasks);
  const W = 168,
    H = 44,
    GX = 56,
    GY = 16;
  const columns = [];
  for (const t of def.tasks) {
    const at = depth.get(t.id);
    columns[at] ??= [];
    columns[at].push(t);
  }
  const tall = Math.max(...columns.map((c) => c.length));
  const pos = new Map();
  for (const [x, c] of columns.entries())
    for (const [y, t] of c.entries())
      pos.set(t.id, { x: 16 + x * (W + GX), y: 16 + (y + (tall - c.length) / 2) * (H + GY) });
  return {
    width: 32 + columns.length * (W + GX) - GX,
    height: 32 + tall * (H + GY) - GY,
    nodes: def.tasks.map((t) => ({
      id: t.id,
      type: t.type,
      ...pos.get(t.id),
      width: W,
      height: H,
      conn: t.conn ?? null,
      trigger_rule: t.trigger_rule,
    })),
    edges: def.tasks.flatMap((t) =>
      t.depends_on.map((from) => {
        const a = pos.get(from),
          b = pos.get(t.id);
        const x1 = a.x + W,
          y1 = a.y + H / 2,
          x2 = b.x,
          y2 = b.y + H / 2,
          m = x2 - GX / 2;
        return {
          from,
          to: t.id,
          points: [
            [x1, y1],
            [m, y1],
            [m, y2],
            [x2, y2],
          ],
        };
      }),
    ),
    text: null,
  };
}

export function durations(def, q) {
  const now = nowMs();
  const list = runs(def)
    .filter((r) => r.created <= now)
    .slice(-Number(q.get("runs") ?? 100));
  const points = list.map((r) => {
    const s = summary(r, now);
    return {
      run: r.id,
      at: s.created_at,
      seconds: s.seconds,
      wait_seconds: s.wait_seconds,
      state: s.state,
      trigger: s.trigger,
      version: s.version,
    };
  });
  const ok = points.filter((p) => p.state === "succeeded").map((p) => p.seconds);
  return {
    points,
    median_seconds: round(median(ok)),
    p95_seconds: round(median(ok, 0.95)),
    tasks: def.tasks.map((t) => {
      const all = list.flatMap((r) =>
        r.tasks.filter((tr) => tr.t.id === t.id && tr.attempts.length),
      );
      const done = all.map((tr) => tr.attempts.at(-1));
      return {
        task: t.id,
        median_seconds: round(median(done.map((a) => a.seconds))),
        p95_seconds: round(
          median(
            done.map((a) => a.seconds),
            0.95,
          ),
        ),
        wait_median_seconds: round((median(done.map((a) => a.wait)) ?? 0) / 1000),
        retries: all.reduce((n, tr) => n + tr.attempts.length - 1, 0),
        failures: all.filter((tr) => tr.state === "failed").length,
        runs: all.length,
      };
    }),
  };
}

const dayIn = (ms, zone) =>
  new Intl.DateTimeFormat("en-CA", {
    timeZone: zone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
  }).format(ms);

export function calendar(def, q) {
  const year = Number(q.get("year") ?? 2026),
    zone = q.get("zone") ?? "UTC",
    now = nowMs();
  const days = new Map();
  for (const r of runs(def).filter((x) => x.created <= now)) {
    const date = dayIn(r.logical, zone);
    if (!date.startsWith(`${year}`)) continue;
    const d = days.get(date) ?? { date, succeeded: 0, failed: 0, other: 0 };
    const s = stateOf(r, now);
    d[s === "succeeded" || s === "failed" ? s : "other"] += 1;
    days.set(date, d);
  }
  const planned = new Map();
  for (const t of nextFires(def, 60, now)) {
    const date = dayIn(t, zone);
    if (date.startsWith(`${year}`)) planned.set(date, (planned.get(date) ?? 0) + 1);
  }
  const list = [...days.values()].sort((a, b) => a.date.localeCompare(b.date));
  return {
    year,
    zone,
    days: list,
    planned: [...planned].map(([date, count]) => ({ date, count })),
    failing_days: list.filter((d) => d.failed).length,
  };
}

export function schedule(def, q) {
  const n = Number(q.get("n") ?? 10);
  const zone = q.get("zone") ?? def.schedule?.timezone ?? "UTC";
  const local = (ms) =>
    new Intl.DateTimeFormat("sv-SE", {
      timeZone: zone,
      dateStyle: "short",
      timeStyle: "medium",
    }).format(ms);
  const off = (ms) =>
    new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset" })
      .formatToParts(ms)
      .find((p) => p.type === "timeZoneName")
      .value.replace("GMT", "") || "+00:00";
  return {
    workflow: def.id,
    text: def.schedule?.text ?? null,
    words: def.schedule?.words ?? null,
    timezone: def.schedule?.timezone ?? null,
    tzdb: "2026a",
    kind: def.schedule ? "fixed" : "none",
    dst: { gap: "after", overlap: "first" },
    catchup: def.catchup,
    paused: def.paused,
    start_date: "2026-01-01",
    end_date: null,
    next: nextFires({ ...def, paused: false }, n).map((t, i) => ({
      at: iso(t),
      local: local(t),
      offset: off(t),
      logical_date: iso(t),
      interval: { start: iso(t - def.period), end: iso(t) },
      note:
        i === 2 && def.schedule?.timezone !== "UTC"
          ? "the clocks go back this night: 04:00 comes once, 02:30 would come twice (dst.overlap: first)"
          : null,
    })),
    cursor: iso(def.last(nowMs())),
    skipped:
      def.id === "adsb_compaction"
        ? {
            total: 7,
            recent: [
              {
                from: "2026-11-20T01:20:00Z",
                until: "2026-11-20T03:20:00Z",
                count: 7,
                reason: "the daemon was down; catchup: latest ran 03:20 only",
                at: "2026-11-20T03:21:04Z",
              },
            ],
          }
        : { total: 0, recent: [] },
  };
}
