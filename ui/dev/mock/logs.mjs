// Logs of attempts, made line by line from the attempt's name.

import { chance, iso, words } from "./base.mjs";
import { HUGE_TASK, hugePage } from "./hugelog.mjs";

const logs = new Map();

/** The whole log of one attempt, with byte offsets. `LOG_LINES` makes it long. */
export function logLines(run, tr, n) {
  const key = `${run.id}/${tr.t.id}/${tr.map}/${n}`;
  let list = logs.get(key);
  if (list) return list;
  const a = tr.attempts[n - 1];
  if (!a || a.log === false) return [];
  const r = chance(key);
  const begun = a.start ?? a.claimed;
  const length = Number(process.env.LOG_LINES ?? 0) || 60 + Math.floor(r() * 60);
  list = [];
  let offset = 0;
  const push = (level, stream, text, share) => {
    list.push({
      at: iso(begun + share * (a.seconds ?? 10) * 1000),
      level,
      stream,
      line: list.length + 1,
      offset,
      text,
    });
    offset += Buffer.byteLength(text) + 1;
  };
  push(
    "info",
    "task",
    `attempt ${n} of ${tr.t.id} on ${a.worker}: type ${tr.t.type}, version ${run.version}`,
    0,
  );
  for (let i = 1; i < length; i++) {
    const p = i / length;
    if (i % 23 === 11) push("warn", "stderr", `retrying chunk ${i}: connection reset by peer`, p);
    else if (i % 9 === 5)
      push(
        "debug",
        "task",
        `GET /states/all?region=${["levant", "ural", "tasman"][i % 3]}&page=${i} -> 200, ${Math.floor(r() * 90000)} bytes`,
        p,
      );
    else
      push(
        "info",
        "stdout",
        `chunk ${i}: ${Math.floor(r() * 9000)} rows read, ${Math.floor(r() * 9000)} written in ${Math.floor(r() * 900)} ms`,
        p,
      );
    if (i === 41 && a.outcome && a.outcome !== "succeeded") {
      push("error", "task", `${a.class ?? "error"}: ${a.message ?? a.words}`, p);
      for (const line of [
        "  at check_rows (workflows/checks/rows.py:41)",
        "  at run (workflows/checks/__init__.py:18)",
        "  at main (python/runner.py:88)",
      ])
        push("error", "stderr", line, p);
    }
  }
  if (a.outcome)
    push(
      a.outcome === "succeeded" ? "info" : "error",
      "task",
      `${a.outcome} after ${words(a.seconds ?? 0)}`,
      1,
    );
  logs.set(key, list);
  return list;
}

export function logPage(run, tr, n, query = {}) {
  const { tail, offset, limit, around, level, search } = query;
  if (tr.t.id === HUGE_TASK) return hugePage(tr.attempts[n - 1]?.start ?? run.created, query);
  let list = logLines(run, tr, n);
  const bytes = list.length ? list.at(-1).offset + Buffer.byteLength(list.at(-1).text) + 1 : 0;
  const lines = list.length;
  const first = list.find((l) => l.level === "error");
  const order = ["debug", "info", "warn", "error"];
  if (level) list = list.filter((l) => order.indexOf(l.level) >= order.indexOf(level));
  if (search) list = list.filter((l) => l.text.toLowerCase().includes(search.toLowerCase()));
  let next = null;
  if (around) {
    const last = list.at(-1)?.line;
    list = list.filter((l) => Math.abs(l.line - around) <= 200);
    next = list.at(-1)?.line < last ? list.at(-1).offset + 1 : null;
  } else if (offset != null) {
    list = list.filter((l) => l.offset >= offset);
    const whole = list;
    if (limit) list = list.filter((l) => l.offset < offset + limit);
    next = list.length < whole.length ? (whole[list.length]?.offset ?? null) : null;
  } else if (tail) list = list.slice(-tail);
  return {
    bytes,
    lines,
    complete: Boolean(tr.attempts[n - 1]?.outcome),
    first_error: first ? { line: first.line, offset: first.offset } : null,
    next,
    items: list,
  };
}
