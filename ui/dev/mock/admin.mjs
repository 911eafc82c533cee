// Connections, users, tokens, audit and status of the mock: kept in memory, changed by the pages.

import { DAY, HOUR, hex, iso, MIN, nowMs, PLANTED } from "./base.mjs";
import { brokenFiles } from "./home.mjs";

const str = (title, more = {}) => ({ type: "string", title, ...more });
const secret = (title, more = {}) => str(title, { writeOnly: true, "x-secret": true, ...more });
export const KINDS = [
  {
    kind: "postgres",
    summary: "PostgreSQL database",
    schema: {
      type: "object",
      required: ["host", "database"],
      properties: {
        host: str("Host", { description: "Name or address." }),
        port: { type: "integer", title: "Port", default: 5432, minimum: 1, maximum: 65535 },
        database: str("Database"),
        user: str("User"),
        password: secret("Password"),
        tls: str("TLS", {
          enum: ["off", "prefer", "require", "verify"],
          default: "verify",
          description: "`verify` checks the certificate and its name.",
        }),
      },
    },
  },
  {
    kind: "http",
    summary: "HTTP service",
    schema: {
      type: "object",
      required: ["url"],
      properties: {
        url: str("Base URL", { format: "uri" }),
        token: secret("Bearer token"),
        timeout_seconds: { type: "number", title: "Time-out (s)", default: 30, minimum: 1 },
        follow_redirects: { type: "boolean", title: "Follow redirects", default: true },
      },
    },
  },
  {
    kind: "kafka",
    summary: "Kafka cluster",
    schema: {
      type: "object",
      required: ["brokers"],
      properties: {
        brokers: {
          type: "array",
          items: { type: "string" },
          title: "Brokers",
          description: "One host:port a line.",
        },
        user: str("User"),
        password: secret("Password"),
        security: str("Security", { enum: ["plaintext", "tls", "sasl_tls"], default: "sasl_tls" }),
      },
    },
  },
];
const field = (name, value, source = "store", more = {}) => ({
  name,
  source,
  secret: false,
  value,
  set: true,
  ...more,
});
const hidden = (name, source = "store", set = true) => ({
  name,
  source: set ? source : "unset",
  secret: true,
  set,
});
const conns = [
  {
    name: "opensky",
    kind: "http",
    source: "environment",
    fields: [
      field("url", "http://127.0.0.1:4711", "environment"),
      hidden("token", "environment", false),
      field("timeout_seconds", 30, "default"),
      field("follow_redirects", true, "default"),
    ],
    used_by: [
      { workflow: "flights_etl", task: "fetch_region" },
      { workflow: "flights_etl", task: "aircraft_registry" },
      { workflow: "position_reports", task: "poll" },
    ],
  },
  {
    name: "warehouse",
    kind: "postgres",
    source: "store",
    fields: [
      field("host", "warehouse.internal"),
      field("port", 5432, "default"),
      field("database", "flights"),
      field("user", "etl"),
      hidden("password"),
      field("tls", "verify", "file"),
    ],
    used_by: [
      { workflow: "flights_etl", task: "row_counts" },
      { workflow: "warehouse_models", task: "stg_00" },
    ],
    updated_at: iso(PLANTED - 9 * DAY),
    updated_by: "mira",
  },
  {
    name: "kafka",
    kind: "kafka",
    source: "file",
    fields: [
      field("brokers", ["k1:9093", "k2:9093"], "file"),
      field("user", "updraft", "file"),
      hidden("password", "environment"),
      field("security", "sasl_tls", "default"),
    ],
    used_by: [{ workflow: "flights_etl", task: "publish_metrics" }],
  },
  {
    name: "clickhouse",
    kind: "http",
    source: "store",
    fields: [
      field("url", "https://clickhouse.internal:8443"),
      hidden("token", "store", false),
      field("timeout_seconds", 600),
      field("follow_redirects", true, "default"),
    ],
    used_by: [{ workflow: "clickhouse_rebuild", task: "rebuild" }],
    updated_at: iso(PLANTED - 40 * DAY),
    updated_by: "jo",
    error: "the stored secret does not open: it was sealed with another master key",
  },
];

export const connections = () => ({
  items: conns,
  kinds: KINDS.map((k) => k.kind),
  forms: KINDS,
});

export function putConnection(name, body) {
  const kind = KINDS.find((k) => k.kind === body.kind);
  if (!kind) return null;
  const old = conns.find((c) => c.name === name);
  const fields = Object.entries(kind.schema.properties).map(([key, s]) => {
    const before = old?.fields.find((f) => f.name === key);
    const given = body.fields?.[key];
    if (s.writeOnly) return hidden(key, "store", given ? true : (before?.set ?? false));
    return given === undefined || given === null
      ? (before ?? {
          name: key,
          source: s.default === undefined ? "unset" : "default",
          secret: false,
          value: s.default,
          set: s.default !== undefined,
        })
      : field(key, given);
  });
  const next = {
    name,
    kind: body.kind,
    source: "store",
    fields,
    used_by: old?.used_by ?? [],
    updated_at: iso(nowMs()),
    updated_by: "mira",
  };
  if (old) conns.splice(conns.indexOf(old), 1, next);
  else conns.push(next);
  return next;
}
export function deleteConnection(name) {
  const i = conns.findIndex((c) => c.name === name);
  if (i >= 0) conns.splice(i, 1);
  return i >= 0;
}
export const testConnection = (name) =>
  name === "clickhouse"
    ? { ok: false, text: "The secret cannot be opened; nothing was sent.", checks: [] }
    : {
        ok: true,
        text: "Answers in 12 ms.",
        checks: [{ address: "10.0.3.11:5432", ok: true, text: "connected, TLS verified, 12 ms" }],
      };

const people = [
  {
    name: "mira",
    role: "admin",
    created_at: iso(PLANTED - 200 * DAY),
    last_login_at: iso(PLANTED - 2 * HOUR),
    disabled: false,
  },
  {
    name: "jo",
    role: "operator",
    created_at: iso(PLANTED - 120 * DAY),
    last_login_at: iso(PLANTED - 3 * DAY),
    disabled: false,
  },
  {
    name: "sam",
    role: "editor",
    created_at: iso(PLANTED - 60 * DAY),
    last_login_at: null,
    disabled: false,
  },
  {
    name: "old-contractor",
    role: "viewer",
    created_at: iso(PLANTED - 400 * DAY),
    last_login_at: iso(PLANTED - 190 * DAY),
    disabled: true,
  },
];
const keys = [
  {
    id: "tok-1",
    name: "ci",
    role: "operator",
    scopes: ["runs:write", "workflows:read"],
    created_at: iso(PLANTED - 30 * DAY),
    expires_at: iso(PLANTED + 60 * DAY),
    last_used_at: iso(PLANTED - 7 * MIN),
    created_by: "mira",
    prefix: "upd_9f3a",
  },
  {
    id: "tok-2",
    name: "grafana",
    role: "viewer",
    scopes: [],
    created_at: iso(PLANTED - 300 * DAY),
    expires_at: null,
    last_used_at: iso(PLANTED - MIN),
    created_by: "mira",
    prefix: "upd_77c1",
  },
];
export const users = () => ({ items: people, next: null });
export const tokens = () => ({ items: keys, next: null });
export function addUser(b) {
  const u = {
    name: b.name,
    role: b.role,
    created_at: iso(nowMs()),
    last_login_at: null,
    disabled: false,
  };
  people.push(u);
  return { ...u, link: b.password ? null : `http://127.0.0.1:4180/setup?token=${hex(b.name, 32)}` };
}
export function patchUser(name, b) {
  const u = people.find((x) => x.name === name);
  if (u) {
    if (b.role) u.role = b.role;
    if (b.disabled !== undefined) u.disabled = b.disabled;
  }
  return u;
}
export function dropUser(name) {
  const i = people.findIndex((u) => u.name === name);
  if (i >= 0) people.splice(i, 1);
  return i >= 0;
}
export function addToken(b) {
  const id = `tok-${keys.length + 1}-${hex(b.name, 4)}`;
  const t = {
    id,
    name: b.name,
    role: b.role,
    scopes: b.scopes ?? [],
    created_at: iso(nowMs()),
    expires_at: b.expires_in_seconds ? iso(nowMs() + b.expires_in_seconds * 1000) : null,
    last_used_at: null,
    created_by: "mira",
    prefix: `upd_${hex(id, 4)}`,
  };
  keys.push(t);
  return { ...t, token: `${t.prefix}${hex(id, 40)}` };
}
export function dropToken(id) {
  const i = keys.findIndex((t) => t.id === id);
  if (i >= 0) keys.splice(i, 1);
  return i >= 0;
}

const ACTIONS = [
  [
    "mira",
    "admin",
    "run.retry",
    "flights_etl 2026-11-10",
    "source was late, data is complete now",
    { tasks: 10, version: 1 },
  ],
  ["jo", "operator", "run.trigger", "airport_report", null, { params: { airport: "EDDM" } }],
  ["mira", "admin", "workflow.pause", "delay_features", "waits for the new label set", {}],
  [
    "scheduler",
    null,
    "fires.skipped",
    "adsb_compaction",
    "daemon was down; catchup: latest",
    { count: 7 },
  ],
  ["sam", "editor", "connection.put", "warehouse", "password rotated", { fields: ["password"] }],
  [
    "token ci",
    "operator",
    "run.trigger",
    "position_reports",
    null,
    { idempotency_key: "deploy-811" },
  ],
  ["mira", "admin", "user.disable", "old-contractor", "left", {}],
  [
    "jo",
    "operator",
    "run.mark",
    "warehouse_models 2026-11-19",
    "mart_03 is not used any more",
    { state: "succeeded", tasks: ["mart_03"] },
  ],
];
const log = Array.from({ length: 140 }, (_, i) => {
  const [actor, role, action, subject, reason, detail] = ACTIONS[i % ACTIONS.length];
  return {
    seq: 140 - i,
    at: iso(PLANTED - i * 3.7 * HOUR - 11 * MIN),
    actor,
    role,
    from: actor === "scheduler" ? "etl-1" : i % 5 === 2 ? "socket (uid 1000)" : "10.0.8.14",
    action,
    subject,
    reason,
    detail,
    hash: hex(`audit${i}`, 64),
  };
});
export function audited(action, subject, reason, detail = {}) {
  log.unshift({
    seq: log.length + 1,
    at: iso(nowMs()),
    actor: "mira",
    role: "admin",
    from: "127.0.0.1",
    action,
    subject,
    reason: reason ?? null,
    detail,
    hash: hex(`audit${log.length}`, 64),
  });
}
export function audit(q) {
  let list = log;
  for (const key of ["actor", "action", "subject"]) {
    const want = q.get(key);
    if (want) list = list.filter((e) => e[key].includes(want));
  }
  const since = q.get("since");
  if (since) list = list.filter((e) => e.at >= since);
  const until = q.get("until");
  if (until) list = list.filter((e) => e.at < until);
  const from = Number(q.get("cursor") ?? 0),
    n = Number(q.get("limit") ?? 50);
  return {
    items: list.slice(from, from + n),
    next: from + n < list.length ? String(from + n) : null,
  };
}
export const verify = () => ({ ok: true, entries: log.length, first_bad: null });

export function status(defs) {
  const now = nowMs();
  const worker = (no, more) => ({
    no,
    name: `w-${no}`,
    host: no < 3 ? "etl-1" : "etl-2",
    pid: 4000 + no,
    build: "0.4.0+7f3a",
    state: "active",
    slots: 8,
    busy: 2,
    queues: ["default"],
    lease_until: iso(now + 20_000),
    last_seen_seconds: 2,
    evidence: null,
    ...more,
  });
  return {
    version: "0.4.0",
    build: "7f3a9c2 release",
    started_at: iso(PLANTED - 6 * DAY),
    now: iso(now),
    store: {
      kind: "SQLite",
      ok: true,
      latency_ms: 0.4,
      schema: 12,
      size_bytes: 218_103_808,
      durable: true,
      text: "write-ahead log, synchronous full",
    },
    tzdb: "2026a",
    workers: [
      worker(1, { busy: 2, queues: ["default", "heavy"] }),
      worker(2, {}),
      worker(3, {
        state: "dead",
        busy: 0,
        last_seen_seconds: 6038,
        lease_until: iso(now - 6_000_000),
        evidence: true,
      }),
      worker(4, { state: "draining", busy: 1 }),
    ],
    queues: [
      { queue: "default", ready: 0, executing: 4, oldest_seconds: null },
      { queue: "heavy", ready: 6, executing: 2, oldest_seconds: 1080 },
    ],
    schedules: {
      total: defs.filter((d) => d.schedule).length,
      due: 0,
      next: iso(now + 70_000),
      skipped_fires: 7,
    },
    catalog: {
      workflows: defs.length,
      files: defs.length + 1,
      broken: brokenFiles(now),
      conflicts: [
        {
          workflow: "taf_ingest",
          sources: [
            {
              path: "workflows/taf_ingest.yaml",
              sha256: hex("c1", 64),
              by: "etl-1",
              at: iso(now - 3 * HOUR),
            },
            {
              path: "workflows/taf_ingest.yaml",
              sha256: hex("c2", 64),
              by: "etl-2",
              at: iso(now - 2 * HOUR),
            },
          ],
        },
      ],
      loaded_at: iso(now - 47 * MIN),
    },
    upkeep: [
      {
        name: "retention",
        last: iso(now - 5 * HOUR),
        next: iso(now + 19 * HOUR),
        text: "keeps 400 d of history; 0 runs removed",
      },
      {
        name: "log compaction",
        last: iso(now - 20 * MIN),
        next: iso(now + 40 * MIN),
        text: "412 chunks into 9",
      },
      {
        name: "statistics",
        last: iso(now - 5 * HOUR),
        next: iso(now + 19 * HOUR),
        text: "medians of 65 workflows",
      },
    ],
  };
}
