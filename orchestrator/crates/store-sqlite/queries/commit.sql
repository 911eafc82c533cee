-- commit: a whole batch as ONE statement (engine.md §2 step 4). `INSERT INTO hop` runs this trigger; every part depends on
-- the first SELECT, which aborts the statement (and with it all that it wrote) if a run, a fence or the worker is not as expected.
-- Each column of `hop` is a JSON list of rows, or null for none. Rows are read by position; see src/batch.rs.
--   runs      run_id, version, stamp | new stamp, actor, body, events, state, cause, generation, started_at, ended_at |
--             version_id and queue of a re-opened run, or null
--   created   the same up to ended_at with null version and stamp, then workflow_id, version_id, run_key, trigger, logical_at,
--             interval_start, interval_end, conf, queue, priority, created_at, only_tasks
--   ended     run_id, task_id, map_index, dispatch_no, attempt_id, outcome, cause, class, message, started_at, output
--   removed   run_id, task_id, map_index
--   task_runs, work, items, metrics   the columns of their tables
--   claimer   worker that must be active, or null if nothing is claimed
CREATE TEMP VIEW hop AS
SELECT NULL AS at, NULL AS run_count, NULL AS runs, NULL AS created, NULL AS ended, NULL AS removed, NULL AS task_runs,
    NULL AS work, NULL AS items, NULL AS metrics, NULL AS claimer, NULL AS queue, NULL AS attempts;

CREATE TEMP TRIGGER commit_hop INSTEAD OF INSERT ON hop BEGIN
    SELECT RAISE(ABORT, 'refused') WHERE NOT (
        (SELECT count(*) FROM jsonb_each(NEW.runs) j CROSS JOIN run r ON r.run_id = j.value ->> 0
         WHERE r.version = j.value ->> 1 AND r.stamp = j.value ->> 2) = NEW.run_count
        AND NOT EXISTS (
            SELECT 1 FROM jsonb_each(NEW.ended) f LEFT JOIN work w
                ON w.run_id = f.value ->> 0 AND w.task_id = f.value ->> 1 AND w.map_index = f.value ->> 2
            WHERE w.dispatch_no IS NOT f.value ->> 3 OR w.attempt_id IS NOT f.value ->> 4)
        AND NOT EXISTS (SELECT 1 FROM jsonb_each(NEW.created) n CROSS JOIN run r ON r.run_id = n.value ->> 0)
        AND NOT EXISTS (
            SELECT 1 FROM jsonb_each(NEW.created) n
                CROSS JOIN run r ON r.workflow_id = n.value ->> 12 AND r.run_key = n.value ->> 14)
        AND (NEW.claimer IS NULL OR EXISTS (SELECT 1 FROM worker WHERE worker_no = NEW.claimer AND state = 'active')));

    UPDATE run SET version = run.version + 1, stamp = j.value ->> 3, events = run.events + (j.value ->> 6),
        state = j.value ->> 7, cause = j.value ->> 8, generation = j.value ->> 9, started_at = j.value ->> 10,
        ended_at = j.value ->> 11, version_id = ifnull(j.value ->> 12, run.version_id),
        queue = ifnull(j.value ->> 13, run.queue), updated_at = NEW.at
    FROM jsonb_each(NEW.runs) j WHERE run.run_id = j.value ->> 0;

    INSERT INTO run (run_id, version, stamp, events, state, cause, generation, started_at, ended_at, updated_at,
        workflow_id, version_id, run_key, trigger, logical_at, interval_start, interval_end, conf, queue, priority,
        created_at, only_tasks)
    SELECT n.value ->> 0, 1, n.value ->> 3, n.value ->> 6, n.value ->> 7, n.value ->> 8, n.value ->> 9,
        n.value ->> 10, n.value ->> 11, NEW.at, n.value ->> 12, n.value ->> 13, n.value ->> 14, n.value ->> 15,
        n.value ->> 16, n.value ->> 17, n.value ->> 18, n.value ->> 19, n.value ->> 20, n.value ->> 21,
        n.value ->> 22, n.value ->> 23
    FROM jsonb_each(NEW.created) n;

    INSERT INTO run_log (run_id, version, stamp, at, actor, body)
    SELECT j.value ->> 0, (j.value ->> 1) + 1, j.value ->> 3, NEW.at, j.value ->> 4, j.value ->> 5
    FROM jsonb_each(NEW.runs) j;

    INSERT INTO run_log (run_id, version, stamp, at, actor, body)
    SELECT n.value ->> 0, 1, n.value ->> 3, NEW.at, n.value ->> 4, n.value ->> 5 FROM jsonb_each(NEW.created) n;

    INSERT INTO attempt (run_id, task_id, map_index, dispatch_no, attempt_id, try_no, generation, worker_no, claimed_at,
        started_at, ended_at, outcome, cause, class, message, output, ready_at)
    SELECT w.run_id, w.task_id, w.map_index, w.dispatch_no, w.attempt_id, w.try_no, w.generation, w.worker_no,
        w.claimed_at, f.value ->> 9, NEW.at, f.value ->> 5, f.value ->> 6, f.value ->> 7, f.value ->> 8, f.value ->> 10,
        w.rank + 300000 * (SELECT priority FROM run r WHERE r.run_id = w.run_id)
    FROM jsonb_each(NEW.ended) f CROSS JOIN work w
        ON w.run_id = f.value ->> 0 AND w.task_id = f.value ->> 1 AND w.map_index = f.value ->> 2;

    -- The pick comes before the new ready rows: it sees the rows that were ready when the batch began, as on PostgreSQL.
    UPDATE work SET place = 'x', worker_no = NEW.claimer, claimed_at = NEW.at, attempt_id = n.attempt_id
    FROM (
        SELECT p.run_id, p.task_id, p.map_index, NEW.attempts ->> (row_number() OVER (ORDER BY p.rank, p.run_id, p.task_id, p.map_index) - 1) AS attempt_id
        FROM (
            SELECT run_id, task_id, map_index, rank FROM work WHERE place = 'r' AND queue = NEW.queue
            ORDER BY rank, run_id, task_id, map_index LIMIT ifnull(json_array_length(NEW.attempts), 0)) p) n
    WHERE work.run_id = n.run_id AND work.task_id = n.task_id AND work.map_index = n.map_index;

    DELETE FROM work WHERE (run_id, task_id, map_index) IN (
        SELECT d.value ->> 0, d.value ->> 1, d.value ->> 2 FROM jsonb_each(NEW.removed) d);

    INSERT INTO task_run (run_id, task_id, map_index, generation, dispatch_no, try_no, losses, state, cause, started_at, ended_at,
        expanded_n)
    SELECT x.value ->> 0, x.value ->> 1, x.value ->> 2, x.value ->> 3, x.value ->> 4, x.value ->> 5, x.value ->> 6,
        x.value ->> 7, x.value ->> 8, x.value ->> 9, x.value ->> 10, x.value ->> 11
    FROM jsonb_each(NEW.task_runs) x WHERE true
    ON CONFLICT (run_id, task_id, map_index) DO UPDATE SET generation = excluded.generation,
        dispatch_no = excluded.dispatch_no, try_no = excluded.try_no, losses = excluded.losses, state = excluded.state,
        cause = excluded.cause, started_at = excluded.started_at, ended_at = excluded.ended_at,
        expanded_n = excluded.expanded_n;

    INSERT INTO work (run_id, task_id, map_index, dispatch_no, try_no, losses, generation, place, due_at, queue, rank,
        worker_no, attempt_id, claimed_at, cancel_at)
    SELECT x.value ->> 0, x.value ->> 1, x.value ->> 2, x.value ->> 3, x.value ->> 4, x.value ->> 5, x.value ->> 6,
        x.value ->> 7, x.value ->> 8, x.value ->> 9, x.value ->> 10, x.value ->> 11, x.value ->> 12, x.value ->> 13,
        x.value ->> 14
    FROM jsonb_each(NEW.work) x WHERE true
    ON CONFLICT (run_id, task_id, map_index) DO UPDATE SET dispatch_no = excluded.dispatch_no, try_no = excluded.try_no,
        losses = excluded.losses, generation = excluded.generation, place = excluded.place, due_at = excluded.due_at,
        queue = excluded.queue, rank = excluded.rank, worker_no = excluded.worker_no, attempt_id = excluded.attempt_id,
        claimed_at = excluded.claimed_at, cancel_at = excluded.cancel_at;

    INSERT INTO task_item (run_id, task_id, map_index, dispatch_no, seq, kind, name, state, seconds, value, message)
    SELECT x.value ->> 0, x.value ->> 1, x.value ->> 2, x.value ->> 3, x.value ->> 4, x.value ->> 5, x.value ->> 6,
        x.value ->> 7, x.value ->> 8, x.value ->> 9, x.value ->> 10
    FROM jsonb_each(NEW.items) x;

    INSERT INTO run_metric (run_id, task_id, name, labels, value, unit)
    SELECT x.value ->> 0, x.value ->> 1, x.value ->> 2, x.value ->> 3, x.value ->> 4, x.value ->> 5
    FROM jsonb_each(NEW.metrics) x WHERE true
    ON CONFLICT (run_id, task_id, name, labels) DO UPDATE SET value = excluded.value, unit = excluded.unit;
END;
