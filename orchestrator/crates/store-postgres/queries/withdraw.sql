-- withdraw: a cancel removes what does not execute. A statement of its own: its snapshot is taken after the lock wait.
DELETE FROM work w WHERE w.run_id = $1 AND w.place <> 'x'
RETURNING w.run_id, w.task_id, w.map_index, w.dispatch_no, w.try_no, w.losses, w.generation, w.place, w.due_at,
    w.queue, w.rank, w.worker_no, w.attempt_id, w.claimed_at, w.cancel_at
