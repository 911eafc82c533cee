-- flag: a cancel asks what executes to stop. After `withdraw`, so that it sees the claims that one waited for.
UPDATE work w SET cancel_at = coalesce(w.cancel_at, $2) WHERE w.run_id = $1 AND w.place = 'x'
RETURNING w.run_id, w.task_id, w.map_index, w.dispatch_no, w.try_no, w.losses, w.generation, w.place, w.due_at,
    w.queue, w.rank, w.worker_no, w.attempt_id, w.claimed_at, w.cancel_at
