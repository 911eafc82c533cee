/** How an incident reads: glyph, first words, what hangs on it. Pure. */

import type { Incident, IncidentKind } from "../../api/types";
import { count } from "../../lib/duration";
import type { AnyState } from "../../lib/states";

/** The glyph of a kind; `undefined` where it is no state of a run or task. */
export const KIND_STATE: Readonly<Record<IncidentKind, AnyState | undefined>> = {
  run_failed: "failed",
  masked_failure: "succeeded",
  run_broken: "broken",
  worker_lost: undefined,
  late: "queued",
  file_broken: "broken",
  fires_skipped: "skipped",
};

export const KIND_WORDS: Readonly<Record<IncidentKind, string>> = {
  run_failed: "Run failed",
  masked_failure: "Succeeded, hides a failure",
  run_broken: "Run is broken",
  worker_lost: "Worker lost",
  late: "Late",
  file_broken: "File is broken",
  fires_skipped: "Starts skipped",
};

/** "attempt 3 of 3"; empty where there were no attempts. */
export function attemptWords(incident: Incident): string {
  if (!incident.attempt) return "";
  return incident.attempts
    ? `attempt ${incident.attempt} of ${incident.attempts}`
    : `attempt ${incident.attempt}`;
}

/** What else one must know: what waits on it, and whether it is news. */
export function consequences(incident: Incident): string[] {
  const list: string[] = [];
  if (incident.blocked > 0) {
    list.push(
      incident.kind === "late"
        ? `${count(incident.blocked, "run")} waiting`
        : `${count(incident.blocked, "task")} did not run`,
    );
  }
  if (incident.failures_in_row && incident.failures_in_row > 1) {
    list.push(`${incident.failures_in_row} failures in a row`);
  }
  return list;
}

/** The first error line, where the cause does not say it already. */
export function extraLine(incident: Incident): string | undefined {
  const line = incident.line?.trim();
  // Of a file, the cause holds the message; the place is in the list of broken files.
  if (incident.kind === "file_broken") return undefined;
  return line && !incident.cause.includes(line) ? line : undefined;
}
