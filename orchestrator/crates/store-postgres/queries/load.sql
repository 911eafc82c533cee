-- load: per run nothing newer, the tail of its log, or everything; each in one snapshot (engine.md step 2).
SELECT how.how,
    CASE WHEN how.how = 't' THEN (
        SELECT json_agg(json_build_array(g.version, g.stamp, floor(extract(epoch FROM g.at) * 1000)::int8, g.actor,
            g.body) ORDER BY g.version)
        FROM run_log g WHERE g.run_id = asked.run_id AND g.version > asked.version)::text END,
    CASE WHEN how.how = 'f' THEN (
        SELECT json_agg(json_build_array(t.task_id, t.map_index, t.generation, t.dispatch_no, t.try_no, t.losses,
            t.state, t.cause, floor(extract(epoch FROM t.started_at) * 1000)::int8,
            floor(extract(epoch FROM t.ended_at) * 1000)::int8, t.expanded_n) ORDER BY t.task_id, t.map_index)
        FROM task_run t WHERE t.run_id = asked.run_id)::text END,
    CASE WHEN how.how = 'f' THEN (
        SELECT json_agg(json_build_array(w.task_id, w.map_index, w.dispatch_no, w.try_no, w.losses, w.generation,
            w.place, floor(extract(epoch FROM w.due_at) * 1000)::int8, w.queue, w.rank, w.worker_no, w.attempt_id,
            floor(extract(epoch FROM w.claimed_at) * 1000)::int8,
            floor(extract(epoch FROM w.cancel_at) * 1000)::int8) ORDER BY w.task_id, w.map_index)
        FROM work w WHERE w.run_id = asked.run_id)::text END,
    r.run_id, r.workflow_id, r.version_id, r.run_key, r.trigger, r.logical_at, r.interval_start, r.interval_end, r.conf,
    r.queue, r.priority, r.created_at, r.state, r.cause, r.generation, r.started_at, r.ended_at, r.version, r.stamp,
    r.only_tasks, r.events
FROM unnest($1::uuid[], $2::int8[], $3::uuid[]) WITH ORDINALITY AS asked(run_id, version, stamp, i)
LEFT JOIN LATERAL (SELECT * FROM run WHERE run.run_id = asked.run_id OFFSET 0) r ON true
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN r.run_id IS NULL THEN 'm'
        WHEN r.version = asked.version AND r.stamp = asked.stamp THEN 'u'
        WHEN r.version > asked.version AND r.version - asked.version <= 64 AND EXISTS (
            SELECT 1 FROM run_log g
            WHERE g.run_id = asked.run_id AND g.version = asked.version AND g.stamp = asked.stamp) THEN 't'
        ELSE 'f' END AS how
    OFFSET 0) how
ORDER BY asked.i
