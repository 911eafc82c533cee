-- beat: renews the lease; answers with what the worker must be running (F7). $2: it has its lock
-- or needs none, so that it is no suspect any more (F34).
WITH kept AS (
    UPDATE worker SET lease_until = date_trunc('milliseconds', clock_timestamp()) + interval '40 s',
        state = CASE WHEN state = 'suspect' AND $2 THEN 'active' ELSE state END
    WHERE worker_no = $1 AND state IN ('active', 'draining', 'suspect') RETURNING 1
)
SELECT w.run_id, w.task_id, w.map_index, w.dispatch_no, w.try_no, w.losses, w.generation, w.place, w.due_at,
    w.queue, w.rank, w.worker_no, w.attempt_id, w.claimed_at, w.cancel_at,
    EXISTS (SELECT 1 FROM kept), clock_timestamp()
FROM (SELECT 1) one LEFT JOIN work w ON w.worker_no = $1 AND w.place = 'x'
