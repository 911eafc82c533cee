-- claim: the best ready rows of one queue (engine.md step 7). Touches nothing but work, waits for nobody.
WITH pick AS MATERIALIZED (
    SELECT ctid AS tid FROM work
    WHERE place = 'r' AND queue = $2
        AND EXISTS (SELECT 1 FROM worker WHERE worker_no = $1 AND state = 'active')
    ORDER BY rank, run_id, task_id, map_index LIMIT cardinality($3::uuid[]) FOR UPDATE SKIP LOCKED
), numbered AS (
    SELECT *, row_number() OVER ()::int4 AS i FROM pick
)
UPDATE work w SET place = 'x', worker_no = $1, attempt_id = ($3::uuid[])[numbered.i], claimed_at = $4
FROM numbered WHERE w.ctid = numbered.tid
RETURNING w.run_id, w.task_id, w.map_index, w.dispatch_no, w.try_no, w.losses, w.generation, w.place, w.due_at,
    w.queue, w.rank, w.worker_no, w.attempt_id, w.claimed_at, w.cancel_at
