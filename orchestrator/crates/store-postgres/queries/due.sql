-- due: makes timers that are due ready (engine.md step 9).
WITH due AS MATERIALIZED (
    SELECT run_id, task_id, map_index FROM work
    WHERE place = 't' AND due_at <= $1
    ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE work w SET place = 'r', due_at = NULL
FROM due
WHERE w.run_id = due.run_id AND w.task_id = due.task_id AND w.map_index = due.map_index
RETURNING w.queue
