-- runs: newest first, by key, from before $3 on. Absent filters are null; the plan is made for what is given.
SELECT r.run_id, r.workflow_id, r.version_id, r.run_key, r.trigger, r.logical_at, r.interval_start, r.interval_end, r.conf,
    r.queue, r.priority, r.created_at, r.state, r.cause, r.generation, r.started_at, r.ended_at, r.version, r.stamp,
    r.only_tasks, coalesce(w.name, '')
FROM run r LEFT JOIN workflow w ON w.workflow_id = r.workflow_id
WHERE ($1::text IS NULL OR r.workflow_id = (SELECT workflow_id FROM workflow WHERE name = $1))
    AND (cardinality($2::text[]) = 0 OR r.state = ANY ($2))
    AND ($3::uuid IS NULL OR r.run_id < $3)
ORDER BY r.run_id DESC LIMIT $4
