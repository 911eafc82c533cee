import type { RunSummary } from "../../api/types";
import { count } from "../../lib/duration";
import { isLive, taskName } from "../../lib/states";

/** What became of a run. A failure always names its task and its line. */
export function outcome(run: RunSummary): string {
  const { failure } = run;
  if (failure) {
    const tries =
      failure.attempts > 1 ? ` (attempt ${failure.attempt} of ${failure.attempts})` : "";
    return `${taskName(failure.task, failure.map_index)}${tries}: ${failure.line}`;
  }
  if (isLive(run.state)) return `${run.tasks_done} of ${run.tasks_total} tasks done`;
  return run.note ?? count(run.tasks_total, "task");
}
