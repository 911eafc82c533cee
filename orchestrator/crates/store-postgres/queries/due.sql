-- due: makes timers that are due ready (engine.md step 9).
WITH due AS MATERIALIZED (
    SELECT ctid AS tid FROM work
    WHERE place = 't' AND due_at <= $1
    ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE work w SET place = 'r', due_at = NULL
FROM due WHERE w.ctid = due.tid
RETURNING w.queue
