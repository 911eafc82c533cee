-- executing: what a worker holds.
SELECT w.run_id, w.task_id, w.map_index, w.dispatch_no, w.try_no, w.losses, w.generation, w.place, w.due_at,
    w.queue, w.rank, w.worker_no, w.attempt_id, w.claimed_at, w.cancel_at
FROM work w WHERE w.worker_no = $1 AND w.place = 'x'
