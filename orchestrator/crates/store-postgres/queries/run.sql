-- run: one run with its workflow's name.
SELECT r.run_id, r.workflow_id, r.version_id, r.run_key, r.trigger, r.logical_at, r.interval_start, r.interval_end, r.conf,
    r.queue, r.priority, r.created_at, r.state, r.cause, r.generation, r.started_at, r.ended_at, r.version, r.stamp,
    r.only_tasks, coalesce(w.name, '')
FROM run r LEFT JOIN workflow w ON w.workflow_id = r.workflow_id
WHERE r.run_id = $1
