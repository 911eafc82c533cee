// Answers the HTTP contract from a planted, deterministic history, and serves dist/ under the product's own policy.
// Usage: node dev/mock.mjs [--port 4180] [--workflows 65] [--live] [--no-auth] [--delay MS]
// --live sends run hints every few seconds; without it an idle page must stay silent.

import { createServer } from "node:http";
import * as admin from "./mock/admin.mjs";
import { hex, nowMs } from "./mock/base.mjs";
import { file, SECURITY } from "./mock/files.mjs";
import { addRun, runById, runs, stateOf, summary } from "./mock/history.mjs";
import { home } from "./mock/home.mjs";
import { logPage } from "./mock/logs.mjs";
import { plant } from "./mock/plant.mjs";
import * as rv from "./mock/runviews.mjs";
import * as v from "./mock/views.mjs";

const flag = (name, fallback) => {
  const i = process.argv.indexOf(`--${name}`);
  return i < 0 ? fallback : (process.argv[i + 1] ?? true);
};
const has = (name) => process.argv.includes(`--${name}`);
const PORT = Number(flag("port", 4180));
const DELAY = Number(flag("delay", 0));
const AUTH = !has("no-auth");
const defs = plant(Number(flag("workflows", 65)));
const def = (id) => defs.find((d) => d.id === id);
const streams = new Set();
const sessions = new Set(["dev"]);
const idempotent = new Map();
const seen = [];

const ME = { name: "mira", kind: "user", role: has("viewer") ? "viewer" : "admin" };

const date = () => new Date(nowMs()).toUTCString();

function reply(res, status, body, headers = {}) {
  const text = body === undefined ? "" : JSON.stringify(body);
  res.writeHead(status, {
    date: date(),
    "content-type": status >= 400 ? "application/problem+json" : "application/json",
    "cache-control": "no-store",
    "x-request-id": hex(String(seen.length), 16),
    ...headers,
  });
  res.end(text);
}
const problem = (res, status, title, detail, code, more = {}) =>
  reply(res, status, {
    type: "about:blank",
    title,
    status,
    detail,
    code,
    request_id: hex(detail, 16),
    ...more,
  });
const missing = (res, what) =>
  problem(res, 404, `No such ${what.split(" ")[0]}`, `There is no ${what}.`, "not_found");

function hint(run) {
  const data = JSON.stringify({
    run: run.id,
    version: 1,
    workflow: run.def.id,
    state: stateOf(run, nowMs()),
  });
  for (const res of streams) res.write(`event: run\ndata: ${data}\n\n`);
}

function sse(res) {
  res.writeHead(200, {
    date: date(),
    "content-type": "text/event-stream",
    "cache-control": "no-store",
  });
  res.write(`event: reset\ndata: ${JSON.stringify(ME)}\n\n`);
  streams.add(res);
  const beat = setInterval(() => res.write(": keep-alive\n\n"), 15_000);
  res.on("close", () => {
    clearInterval(beat);
    streams.delete(res);
  });
}

async function body(req) {
  let text = "";
  for await (const chunk of req) text += chunk;
  return text ? JSON.parse(text) : {};
}

function listRuns(q) {
  const now = nowMs();
  const one = q.get("workflow");
  let list = (one ? [def(one)].filter(Boolean) : defs)
    .flatMap((d) => runs(d))
    .filter((r) => r.created <= now);
  const states = (q.get("state") ?? "").split(",").filter(Boolean);
  if (states.length) list = list.filter((r) => states.includes(stateOf(r, now)));
  const trigger = q.get("trigger");
  if (trigger) list = list.filter((r) => trigger.split(",").includes(r.trigger));
  const when = (r) => {
    const by = q.get("by");
    return by === "logical" ? r.logical : by === "created" ? r.created : (r.ended ?? r.created);
  };
  const since = q.get("since");
  if (since) list = list.filter((r) => when(r) >= Date.parse(since));
  const until = q.get("until");
  if (until) list = list.filter((r) => when(r) < Date.parse(until));
  const search = q.get("search");
  if (search)
    list = list.filter((r) => `${r.def.id} ${r.id} ${r.note ?? ""} ${r.by}`.includes(search));
  const sort = q.get("sort") ?? "-created_at";
  const key =
    sort.replace("-", "") === "logical_date"
      ? (r) => r.logical
      : sort.includes("ended")
        ? (r) => r.ended ?? 9e15
        : (r) => r.created;
  list.sort((a, b) => (sort.startsWith("-") ? key(b) - key(a) : key(a) - key(b)));
  const from = Number(q.get("cursor") || 0),
    n = Number(q.get("limit") ?? 50);
  return {
    items: list.slice(from, from + n).map((r) => summary(r, now)),
    next: from + n < list.length ? String(from + n) : null,
  };
}

const publishedAt = (d, k) =>
  new Date((d.versionAt ?? nowMs() - 90 * 864e5) - (d.versions - k) * 30 * 864e5).toISOString();

const versions = (d) => ({
  items: Array.from({ length: d.versions }, (_, i) => d.versions - i).map((k) => ({
    version: k,
    sha256: hex(`${d.id}${k}`, 64),
    created_at: publishedAt(d, k),
    path: d.path,
    current: k === d.versions,
    runs: runs(d).filter((r) => r.version === k).length,
  })),
  next: null,
});

const version = (d, n) => ({
  version: n,
  sha256: hex(`${d.id}${n}`, 64),
  source: v.source(d, n),
  path: d.path,
  created_at: publishedAt(d, n),
  diagnostics: n === d.versions ? v.diagnostics(d) : [],
});

/** The facts of a workflow with the one view that is open. */
function workflowView(d, q) {
  const show = q.get("show") ?? "grid";
  const of = new URLSearchParams({ ...Object.fromEntries(q), workflow: d.id });
  const parts = {
    grid: () => v.grid(d, q),
    graph: () => v.graph(d),
    runs: () => listRuns(of),
    durations: () => v.durations(d, q),
    calendar: () => v.calendar(d, q),
    schedule: () => v.schedule(d, q),
    code: () => ({
      versions: versions(d).items,
      version: version(d, Number(q.get("version") ?? d.versions)),
      against: q.has("against") ? version(d, Number(q.get("against"))) : null,
    }),
  };
  const none = Object.fromEntries(Object.keys(parts).map((part) => [part, null]));
  return { workflow: v.workflow(d), ...none, [show]: parts[show]() };
}

async function workflowRoute(req, res, q, d, rest) {
  const dry = q.get("dry_run") === "true";
  if (req.method === "GET") {
    if (!rest[0]) return reply(res, 200, v.workflow(d));
    const plain = {
      grid: () => v.grid(d, q),
      graph: () => v.graph(d),
      durations: () => v.durations(d, q),
      calendar: () => v.calendar(d, q),
      schedule: () => v.schedule(d, q),
    }[rest[0]];
    if (plain) return reply(res, 200, plain());
    if (rest[0] === "view") return reply(res, 200, workflowView(d, q));
    if (rest[0] === "versions")
      return reply(res, 200, rest[1] ? version(d, Number(rest[1])) : versions(d));
  }
  if (req.method === "POST" && ["pause", "unpause"].includes(rest[0])) {
    const b = await body(req);
    if (dry)
      return reply(res, 200, {
        action: rest[0],
        text: `${rest[0] === "pause" ? "Pause" : "Unpause"} ${d.id}`,
        workflow: d.id,
        tasks: [],
        runs: 0,
        warnings: ["Runs that are under way go on."],
      });
    d.paused = rest[0] === "pause";
    d.pausedWhy = `paused by mira just now${b.reason ? `: ${b.reason}` : ""}`;
    admin.audited(`workflow.${rest[0]}`, d.id, b.reason);
    for (const s of streams)
      s.write(`event: catalog\ndata: ${JSON.stringify({ workflow: d.id })}\n\n`);
    return reply(res, 200, v.workflowSummary(d));
  }
  if (req.method === "POST" && rest[0] === "runs") {
    const b = await body(req);
    const errors = Object.entries(d.params_schema.properties ?? {}).flatMap(([key, s]) => {
      const x = b.params?.[key];
      if (x === undefined)
        return (d.params_schema.required ?? []).includes(key)
          ? [
              {
                code: "E0301",
                severity: "error",
                message: "is required",
                line: 0,
                column: 0,
                path: `/params/${key}`,
              },
            ]
          : [];
      if (s.pattern && !new RegExp(s.pattern).test(x))
        return [
          {
            code: "E0302",
            severity: "error",
            message: `does not fit ${s.pattern}`,
            line: 0,
            column: 0,
            path: `/params/${key}`,
          },
        ];
      return [];
    });
    if (errors.length)
      return problem(
        res,
        422,
        "The parameters do not fit",
        `${errors.length} parameter does not fit the schema of ${d.id}.`,
        "params_invalid",
        { errors },
      );
    if (dry)
      return reply(res, 200, {
        action: "trigger",
        text: `Start 1 run of ${d.id}, ${d.tasks.length} tasks`,
        workflow: d.id,
        tasks: d.tasks.map((t) => ({
          task: t.id,
          state: "waiting",
          effect: "start",
          why: "new run",
        })),
        runs: 1,
        estimate_seconds: 95,
        warnings: d.paused ? ["The workflow is paused; a run by hand starts all the same."] : [],
      });
    const key = req.headers["idempotency-key"];
    const before = idempotent.get(key);
    if (before)
      return before.body === JSON.stringify(b)
        ? reply(res, 200, rv.runFull(before.run))
        : problem(
            res,
            409,
            "Same key, other body",
            "This Idempotency-Key was used with another body.",
            "idempotency_conflict",
          );
    const run = addRun(d, b, "mira");
    if (key) idempotent.set(key, { body: JSON.stringify(b), run });
    admin.audited("run.trigger", d.id, b.note);
    hint(run);
    for (const t of [2000, 5000, 9000, 14_000, 20_000, 30_000, 60_000])
      setTimeout(() => hint(run), t).unref();
    return reply(res, 201, rv.runFull(run));
  }
  return missing(res, `page ${rest.join("/")}`);
}

async function runRoute(req, res, q, run, rest) {
  if (req.method === "GET") {
    if (!rest[0]) return reply(res, 200, rv.runFull(run));
    if (rest[0] === "view")
      return reply(res, 200, {
        ...rv.runView(run),
        events: q.has("events") ? rv.events(run) : null,
      });
    if (rest[0] === "events")
      return req.headers.accept?.includes("event-stream")
        ? sse(res)
        : reply(res, 200, rv.events(run));
    if (rest[0] === "tasks" && !rest[1])
      return reply(res, 200, { items: run.tasks.map((t) => rv.taskRun(run, t)), next: null });
    const map = q.get("map_index") === null ? null : Number(q.get("map_index"));
    const tr = run.tasks.find((t) => t.t.id === rest[1] && (t.map ?? null) === map);
    if (!tr) return missing(res, `task ${rest[1]} in this run`);
    if (rest[2] === "attempts") return log(req, res, q, run, tr, Number(rest[3]));
    const number = (key) => (q.has(key) ? Number(q.get(key)) : undefined);
    const ask = { attempt: number("attempt"), line: number("line") };
    return reply(res, 200, rv.taskView(run, rest[1], map, ask));
  }
  const b = await body(req);
  if (req.method === "PATCH") {
    run.note = b.note || null;
    hint(run);
    return reply(res, 200, rv.runFull(run));
  }
  if (q.get("dry_run") === "true") return reply(res, 200, rv.plan(run, rest[0], b));
  admin.audited(`run.${rest[0]}`, `${run.def.id} ${run.date}`, b.reason);
  if (rest[0] === "cancel") {
    run.forced = "cancelled";
    run.ended = nowMs();
  }
  if (rest[0] === "mark") {
    run.forced = b.state;
    run.ended ??= nowMs();
  }
  if (rest[0] === "retry") {
    run.generation += 1;
    const shift =
      nowMs() - Math.min(...run.tasks.filter((t) => t.state === "failed").map((t) => t.ready ?? 0));
    run.forced = "running";
    run.ended = null;
    for (const t of run.tasks)
      if (["failed", "upstream_failed"].includes(t.state))
        Object.assign(t, {
          state: "succeeded",
          attempts: [
            ...t.attempts,
            {
              n: t.attempts.length + 1,
              outcome: "succeeded",
              seconds: 8,
              ready: t.ready + shift,
              claimed: t.ready + shift + 300,
              start: t.ready + shift + 350,
              end: t.ready + shift + 8000,
              wait: 350,
              worker: "w-1",
            },
          ],
        });
    setTimeout(() => {
      run.forced = "succeeded";
      run.final = "succeeded";
      run.ended = nowMs();
      hint(run);
    }, 8000).unref();
  }
  hint(run);
  return reply(res, 200, rv.runFull(run));
}

function log(req, res, q, run, tr, n) {
  const num = (key) => (q.get(key) === null ? undefined : Number(q.get(key)));
  const page = logPage(run, tr, n, {
    tail: num("tail"),
    offset: num("offset"),
    limit: num("limit"),
    around: num("around"),
    level: q.get("level"),
    search: q.get("search"),
  });
  const headers = {
    date: date(),
    ...SECURITY,
    "x-log-bytes": page.bytes,
    "x-log-lines": page.lines,
    "x-log-complete": String(page.complete),
    "x-log-truncated": "false",
    ...(page.next == null ? {} : { "x-log-next": page.next }),
    ...(page.first_error
      ? {
          "x-log-first-error-line": page.first_error.line,
          "x-log-first-error-offset": page.first_error.offset,
        }
      : {}),
  };
  const accept = req.headers.accept ?? "";
  if (accept.includes("event-stream")) {
    const from = Number(req.headers["last-event-id"] ?? num("offset") ?? 0);
    page.items = page.items.filter((l) => l.offset >= from);
    res.writeHead(200, { ...headers, "content-type": "text/event-stream" });
    for (const l of page.items)
      res.write(
        `id: ${l.offset + Buffer.byteLength(l.text) + 1}\nevent: line\ndata: ${JSON.stringify(l)}\n\n`,
      );
    if (page.complete) return res.end("event: end\ndata: {}\n\n");
    let k = page.lines;
    let offset = page.bytes;
    const timer = setInterval(() => {
      const text = `chunk ${k}: live line`;
      k += 1;
      const l = {
        at: new Date(nowMs()).toISOString(),
        level: "info",
        stream: "stdout",
        line: k,
        offset,
        text,
      };
      offset += text.length + 1;
      res.write(`id: ${offset}\nevent: line\ndata: ${JSON.stringify(l)}\n\n`);
    }, 1500);
    return res.on("close", () => clearInterval(timer));
  }
  if (accept.includes("ndjson")) {
    res.writeHead(200, { ...headers, "content-type": "application/x-ndjson" });
    return res.end(page.items.map((l) => `${JSON.stringify(l)}\n`).join(""));
  }
  res.writeHead(200, { ...headers, "content-type": "text/plain; charset=utf-8" });
  return res.end(page.items.map((l) => `${l.text}\n`).join(""));
}

async function apiRoute(req, res, url) {
  const q = url.searchParams;
  const parts = url.pathname.slice("/api/v1/".length).split("/").map(decodeURIComponent);
  const [noun, id, ...rest] = parts;
  const is = (method, path) => req.method === method && parts.join("/") === path;
  const cookie = /updraft_session=([^;]+)/.exec(req.headers.cookie ?? "")?.[1];
  const session = { "set-cookie": "updraft_session=dev; HttpOnly; SameSite=Lax; Path=/" };
  if (is("POST", "auth/login")) {
    const b = await body(req);
    return b.password === "wrong"
      ? problem(res, 401, "Not signed in", "No user has this name and password.", "bad_credentials")
      : reply(res, 204, undefined, session);
  }
  if (is("POST", "auth/setup")) return reply(res, 204, undefined, session);
  if (is("GET", "auth/link")) {
    res.writeHead(303, { ...session, location: "/" });
    return res.end();
  }
  if (is("POST", "auth/logout"))
    return reply(res, 204, undefined, { "set-cookie": "updraft_session=; Max-Age=0; Path=/" });
  if (AUTH && !sessions.has(cookie))
    return problem(res, 401, "Not signed in", "Sign in, or send a token.", "unauthenticated");
  if (is("GET", "me")) return reply(res, 200, ME);
  if (is("POST", "me/password")) return reply(res, 204);
  if (is("GET", "events")) return sse(res);
  if (is("GET", "home")) return reply(res, 200, home(defs));
  if (is("GET", "workflows")) return reply(res, 200, v.workflowList(defs, q));
  if (noun === "workflows")
    return def(id) ? workflowRoute(req, res, q, def(id), rest) : missing(res, `workflow ${id}`);
  if (is("GET", "runs")) return reply(res, 200, listRuns(q));
  if (noun === "runs") {
    const run = runById(defs, id);
    return run ? runRoute(req, res, q, run, rest) : missing(res, `run ${id}`);
  }
  if (is("GET", "schedules/next")) return reply(res, 200, { items: home(defs).next });
  if (is("GET", "connections")) return reply(res, 200, admin.connections());
  if (is("GET", "connections/kinds")) return reply(res, 200, { items: admin.KINDS });
  if (noun === "connections" && rest[0] === "test")
    return setTimeout(() => reply(res, 200, admin.testConnection(id)), 400);
  if (noun === "connections" && req.method === "PUT") {
    const b = await body(req);
    admin.audited("connection.put", id, b.reason);
    return reply(res, 200, admin.putConnection(id, b));
  }
  if (noun === "connections" && req.method === "DELETE")
    return admin.deleteConnection(id) ? reply(res, 204) : missing(res, "connection");
  if (is("GET", "accounts"))
    return reply(res, 200, {
      users: ME.role === "admin" ? admin.users() : null,
      tokens: admin.tokens(),
    });
  if (is("GET", "users")) return reply(res, 200, admin.users());
  if (is("POST", "users")) return reply(res, 201, admin.addUser(await body(req)));
  if (noun === "users" && req.method === "PATCH")
    return reply(res, 200, admin.patchUser(id, await body(req)));
  if (noun === "users" && req.method === "DELETE")
    return admin.dropUser(id) ? reply(res, 204) : missing(res, "user");
  if (is("GET", "tokens")) return reply(res, 200, admin.tokens());
  if (is("POST", "tokens")) return reply(res, 201, admin.addToken(await body(req)));
  if (noun === "tokens" && req.method === "DELETE")
    return admin.dropToken(id) ? reply(res, 204) : missing(res, "token");
  if (is("GET", "audit")) return reply(res, 200, admin.audit(q));
  if (is("GET", "audit/verify")) return reply(res, 200, admin.verify());
  if (is("GET", "status")) return reply(res, 200, admin.status(defs));
  return missing(res, `address ${url.pathname}`);
}

const server = createServer((req, res) => {
  const url = new URL(req.url, "http://mock");
  if (url.pathname === "/__seen") {
    res.end(JSON.stringify(seen.splice(0)));
    return;
  }
  if (!url.pathname.startsWith("/api/v1/")) return file(req, res, url.pathname);
  seen.push(`${req.method} ${url.pathname}${url.search}`);
  const go = () =>
    apiRoute(req, res, url).catch((e) => {
      console.error(e);
      problem(res, 500, "The mock failed", String(e), "mock");
    });
  return DELAY ? setTimeout(go, DELAY) : go();
});
server.listen(PORT, "127.0.0.1", () =>
  console.log(
    `mock on http://127.0.0.1:${PORT}, ${defs.length} workflows; sign in as anybody, password anything but "wrong"`,
  ),
);
if (has("live"))
  setInterval(() => {
    const run = runs(def("position_reports")).at(-1);
    hint(run);
  }, 3000).unref();
