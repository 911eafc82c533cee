/** What an event of a run says, in words. Takes the short names of the log (`k`, `t`, `i`, `d`) and the long ones. Pure. */

import { GLYPHS, taskName } from "../../lib/states";

export interface Said {
  text: string;
  task?: string;
  mapIndex?: number;
  tone: "plain" | "bad" | "ok";
}

type Fields = Record<string, unknown>;

const text = (value: unknown): string | undefined =>
  typeof value === "string" && value !== ""
    ? value
    : typeof value === "number"
      ? String(value)
      : undefined;
const number = (value: unknown): number | undefined =>
  typeof value === "number" ? value : undefined;

/** `upstream_failed` → `upstream failed`. */
const plain = (value: unknown): string => (text(value) ?? "").replaceAll("_", " ");

function causeOf(event: Fields): string {
  const { cause } = event;
  const fields = cause && typeof cause === "object" ? (cause as Fields) : undefined;
  const code = fields ? (fields.k ?? fields.kind ?? fields.code) : cause;
  return ORDINARY.has(String(code)) ? "" : plain(code);
}

/** Causes of an ordinary course: the sentence says as much without them. */
const ORDINARY = new Set(["task", "first"]);
const TRIGGERS: Readonly<Record<string, string>> = {
  schedule: "by the schedule",
  backfill: "by a backfill",
};

const BAD = new Set(["failed", "timed_out", "lost", "broken", "upstream_failed"]);
const because = (why: string) => (why ? `: ${why}` : "");
const by = (event: Fields) => (text(event.by) ? ` by ${text(event.by)}` : "");

/** One event as a sentence. An unknown kind shows its name and fields rather than nothing. */
export function eventWords(event: Fields): Said {
  const kind = text(event.k) ?? text(event.type) ?? text(event.kind) ?? "event";
  const task = text(event.t) ?? text(event.task);
  const mapIndex = number(event.i) ?? number(event.map_index);
  const name = task ? taskName(task, mapIndex) : "";
  const attempt = number(event.d) ?? number(event.attempt) ?? number(event.dispatch_no);
  const nth = attempt === undefined ? "attempt" : `attempt ${attempt}`;
  const tell = (said: string, tone: Said["tone"] = "plain"): Said => ({
    text: said,
    tone,
    ...(task ? { task } : {}),
    ...(mapIndex === undefined ? {} : { mapIndex }),
  });
  const outcome = text(event.outcome) ?? text(event.state) ?? "";
  const tone = BAD.has(outcome) ? "bad" : outcome === "succeeded" ? "ok" : "plain";
  const message = text(event.message);
  switch (kind) {
    case "run_created":
      return tell(`Run created ${TRIGGERS[String(event.trigger)] ?? by(event).trim()}`.trim());
    case "run_started":
      return tell("Run started");
    case "run_cancel_requested":
      return tell(`Cancel asked for${by(event)}${because(text(event.reason) ?? "")}`);
    case "run_aborted":
      return tell(`Run aborted${because(causeOf(event))}`, "bad");
    case "run_finished":
      return tell(`Run ${plain(outcome)}${because(causeOf(event))}`, tone);
    case "run_broken":
      return tell(`Run broken: ${text(event.code) ?? ""} ${text(event.detail) ?? ""}`, "bad");
    case "run_repaired":
      return tell(`Run repaired${by(event)}`);
    case "run_reopened":
      return tell(
        `Run taken up again${by(event)}${event.waits === true ? ", waits for a run slot" : ""}${because(text(event.reason) ?? "")}`,
      );
    case "task_expanded":
      return tell(`${name} has ${text(event.n) ?? "?"} instances`);
    case "task_cleared":
      return tell(`${name} will run again`);
    case "task_set":
      return tell(`${name} marked ${plain(outcome)}${by(event)}`, tone);
    case "task_dispatched": {
      const due = text(event.due);
      return tell(
        `${name}: ${nth} ready${because(event.why === "first" ? "" : plain(event.why))}${due ? `, due ${due}` : ""}`,
      );
    }
    case "attempt_claimed":
      return tell(`${name}: ${nth} given to a worker`);
    case "attempt_started":
      return tell(`${name}: ${nth} started`);
    case "attempt_ended":
      return tell(`${name}: ${nth} ${plain(outcome)}${because(message ?? causeOf(event))}`, tone);
    case "task_finished":
      return tell(`${name} ${wordOf(outcome)}${because(causeOf(event))}`, tone);
  }
  const run = /^run_(\w+)$/.exec(kind)?.[1];
  if (run)
    return tell(`Run ${plain(run)}`, BAD.has(run) ? "bad" : run === "succeeded" ? "ok" : "plain");
  const ended = /^attempt_(\w+)$/.exec(kind)?.[1];
  if (ended)
    return tell(
      `${name}: ${nth} ${plain(ended)}${because(message ?? causeOf(event))}`,
      BAD.has(ended) ? "bad" : ended === "succeeded" ? "ok" : "plain",
    );
  const rest = Object.entries(event)
    .filter(([key]) => !["k", "type", "kind"].includes(key))
    .map(
      ([key, value]) =>
        `${key}=${typeof value === "object" ? JSON.stringify(value) : String(value)}`,
    );
  return tell([plain(kind), ...rest].join(" "));
}

function wordOf(state: string): string {
  const glyph = (GLYPHS as Record<string, { word: string } | undefined>)[state];
  return (glyph?.word ?? plain(state)).toLowerCase();
}
