-- log_purge: removes logs of runs that are older than $1, untouched since, and over.
WITH old AS MATERIALIZED (
    SELECT run_id, task_id, map_index, dispatch_no FROM attempt_log l
    WHERE run_id < $3 AND updated_at < $1
        AND NOT EXISTS (SELECT 1 FROM run r
            WHERE r.run_id = l.run_id AND r.state NOT IN ('succeeded', 'failed', 'cancelled'))
    ORDER BY run_id LIMIT $2
), pieces AS MATERIALIZED (
    SELECT found.tid FROM old CROSS JOIN LATERAL (
        SELECT c.ctid AS tid FROM log_chunk c
        WHERE c.run_id = old.run_id AND c.task_id = old.task_id AND c.map_index = old.map_index
            AND c.dispatch_no = old.dispatch_no OFFSET 0) found
), chunks AS (
    DELETE FROM log_chunk c USING pieces WHERE c.ctid = pieces.tid
)
DELETE FROM attempt_log l USING old
WHERE l.run_id = old.run_id AND l.task_id = old.task_id AND l.map_index = old.map_index
    AND l.dispatch_no = old.dispatch_no
RETURNING 1
