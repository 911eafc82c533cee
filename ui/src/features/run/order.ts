/** Which task comes first in a table. Pure. */

import type { TaskRun, TaskState } from "../../api/types";

const URGENCY: Readonly<Record<TaskState, number>> = {
  failed: 0,
  running: 1,
  retry_wait: 2,
  ready: 3,
  deferred: 4,
  waiting: 5,
  upstream_failed: 6,
  cancelled: 7,
  succeeded: 8,
  skipped: 9,
  removed: 10,
};

/** Instances that only succeeded are left to their task's page; whatever is news has a row. */
export function byUrgency(tasks: readonly TaskRun[]): TaskRun[] {
  return tasks
    .map((task, index) => ({ task, index }))
    .filter(({ task }) => task.map_index == null || task.state !== "succeeded")
    .sort((a, b) => URGENCY[a.task.state] - URGENCY[b.task.state] || a.index - b.index)
    .map(({ task }) => task);
}
