-- commit: one group commit, all or nothing (engine.md step 4).
--
-- Every part re-checks what it acts on: the run's version and stamp, the fence in work. Nothing here may look around
-- after a wait, for all parts see one snapshot (F6): what cancels or clears is a lane's business.
-- No part joins two argument lists (F24). Rows are looked up from the lists, one by one, by key, and then changed by
-- their place (ctid), which nobody can move while their run is locked: the plan has no choice but this order, however
-- small the tables looked when it was made.
--
-- A new run whose id or key exists raises a unique violation, which undoes everything; `taken` then says which it was.
WITH c AS MATERIALIZED (
    SELECT * FROM json_to_recordset($1::text::json) AS c(
        r uuid, v int8, s uuid, z uuid, a text, b text, n int4, st text, ca text, g int4, sa int8, ea int8,
        w int8, vi int8, k text, tr text, la int8, ia int8, ib int8, cf text, q text, p int4, o text, cr int8)
), f AS MATERIALIZED (
    SELECT * FROM json_to_recordset($2::text::json) AS f(
        r uuid, t text, i int4, d int4, a uuid, o text, c text, k text, m text, s int8, y text)
), l AS MATERIALIZED (
    SELECT c.*, locked.tid FROM c CROSS JOIN LATERAL (
        SELECT x.ctid AS tid FROM run x
        WHERE x.run_id = c.r AND x.version = c.v AND x.stamp = c.s
        FOR NO KEY UPDATE OF x SKIP LOCKED) locked
), fw AS MATERIALIZED (
    SELECT f.*, found.* FROM f LEFT JOIN LATERAL (
        SELECT w.attempt_id, w.dispatch_no, w.try_no, w.generation, w.worker_no, w.claimed_at, w.rank FROM work w
        WHERE w.run_id = f.r AND w.task_id = f.t AND w.map_index = f.i OFFSET 0) found ON true
), bad AS MATERIALIZED (
    SELECT r, t, i FROM fw WHERE (attempt_id, dispatch_no) IS DISTINCT FROM (a, d)
), me AS MATERIALIZED (
    SELECT EXISTS (SELECT 1 FROM worker WHERE worker_no = $9 AND state = 'active') AS active
), go AS MATERIALIZED (
    SELECT (SELECT count(*) FROM l) = (SELECT count(*) FROM c WHERE v IS NOT NULL)
        AND NOT EXISTS (SELECT 1 FROM bad)
        AND (NOT $10::bool OR (SELECT active FROM me)) AS yes
), created AS (
    INSERT INTO run (run_id, workflow_id, version_id, run_key, trigger, logical_at, interval_start, interval_end, conf,
        queue, priority, only_tasks, state, cause, version, stamp, events, generation, created_at, started_at, ended_at,
        updated_at)
    SELECT r, w, vi, k, tr, to_timestamp(la::float8 / 1000), to_timestamp(ia::float8 / 1000),
        to_timestamp(ib::float8 / 1000), cf, q, p, o, st, ca, 1, z, n, g, to_timestamp(cr::float8 / 1000),
        to_timestamp(sa::float8 / 1000), to_timestamp(ea::float8 / 1000), $8
    FROM c WHERE v IS NULL AND (SELECT yes FROM go) ORDER BY w, k
), moved AS (
    UPDATE run x SET version = l.v + 1, stamp = l.z, state = l.st, cause = l.ca, generation = l.g,
        events = x.events + l.n, started_at = to_timestamp(l.sa::float8 / 1000),
        ended_at = to_timestamp(l.ea::float8 / 1000), version_id = coalesce(l.vi, x.version_id),
        queue = coalesce(l.q, x.queue), updated_at = $8
    FROM l WHERE x.ctid = l.tid AND (SELECT yes FROM go)
), logged AS (
    INSERT INTO run_log (run_id, version, stamp, at, actor, body)
    SELECT r, coalesce(v, 0) + 1, z, $8, a, b FROM c WHERE (SELECT yes FROM go)
), ended AS (
    INSERT INTO attempt (run_id, task_id, map_index, dispatch_no, attempt_id, try_no, generation, worker_no, claimed_at,
        started_at, ended_at, outcome, cause, class, message, output, ready_at)
    SELECT r, t, i, d, a, try_no, generation, worker_no, claimed_at, to_timestamp(s::float8 / 1000), $8, o, c, k, m, y,
        to_timestamp((rank + 300000::int8 * (SELECT x.priority FROM run x WHERE x.run_id = fw.r))::float8 / 1000)
    FROM fw WHERE (SELECT yes FROM go)
), kt AS MATERIALIZED (
    SELECT found.tid FROM json_to_recordset($3::text::json) AS k(r uuid, t text, i int4) CROSS JOIN LATERAL (
        SELECT w.ctid AS tid FROM work w WHERE w.run_id = k.r AND w.task_id = k.t AND w.map_index = k.i OFFSET 0) found
    WHERE (SELECT yes FROM go)
), gone AS (
    DELETE FROM work w USING kt WHERE w.ctid = kt.tid
), finished AS (
    INSERT INTO task_run AS old (run_id, task_id, map_index, generation, dispatch_no, try_no, losses, state, cause,
        started_at, ended_at, expanded_n)
    SELECT r, t, i, g, d, y, l, s, c, to_timestamp(b::float8 / 1000), to_timestamp(e::float8 / 1000), n
    FROM json_to_recordset($4::text::json) AS t(
        r uuid, t text, i int4, g int4, d int4, y int4, l int4, s text, c text, b int8, e int8, n int4)
    WHERE (SELECT yes FROM go)
    ON CONFLICT (run_id, task_id, map_index) DO UPDATE SET generation = excluded.generation,
        dispatch_no = excluded.dispatch_no, try_no = excluded.try_no, losses = excluded.losses, state = excluded.state,
        cause = excluded.cause, started_at = excluded.started_at, ended_at = excluded.ended_at,
        expanded_n = excluded.expanded_n
), dispatched AS (
    INSERT INTO work AS old (run_id, task_id, map_index, dispatch_no, try_no, losses, generation, place, due_at, queue,
        rank, worker_no, attempt_id, claimed_at, cancel_at)
    SELECT r, t, i, d, y, l, g, p, to_timestamp(u::float8 / 1000), q, k, w, a, to_timestamp(c::float8 / 1000),
        to_timestamp(x::float8 / 1000)
    FROM json_to_recordset($5::text::json) AS p(
        r uuid, t text, i int4, d int4, y int4, l int4, g int4, p text, u int8, q text, k int8, w int8, a uuid, c int8,
        x int8)
    WHERE (SELECT yes FROM go)
    ON CONFLICT (run_id, task_id, map_index) DO UPDATE SET dispatch_no = excluded.dispatch_no,
        try_no = excluded.try_no, losses = excluded.losses, generation = excluded.generation, place = excluded.place,
        due_at = excluded.due_at, queue = excluded.queue, rank = excluded.rank, worker_no = excluded.worker_no,
        attempt_id = excluded.attempt_id, claimed_at = excluded.claimed_at, cancel_at = excluded.cancel_at
), itemized AS (
    INSERT INTO task_item (run_id, task_id, map_index, dispatch_no, seq, kind, name, state, seconds, value, message)
    SELECT r, t, i, d, n, k, m, s, e, v, x
    FROM json_to_recordset($6::text::json) AS t(
        r uuid, t text, i int4, d int4, n int4, k text, m text, s text, e float8, v float8, x text)
    WHERE (SELECT yes FROM go)
), measured AS (
    INSERT INTO run_metric AS old (run_id, task_id, name, labels, value, unit)
    SELECT r, t, n, l, v, u
    FROM json_to_recordset($7::text::json) AS t(r uuid, t text, n text, l text, v float8, u text)
    WHERE (SELECT yes FROM go)
    ON CONFLICT (run_id, task_id, name, labels) DO UPDATE SET value = excluded.value, unit = excluded.unit
), pick AS MATERIALIZED (
    SELECT ctid AS tid FROM work
    WHERE place = 'r' AND queue = $11 AND (SELECT yes FROM go)
    ORDER BY rank, run_id, task_id, map_index LIMIT cardinality($12::uuid[]) FOR UPDATE SKIP LOCKED
), numbered AS (
    SELECT *, row_number() OVER ()::int4 AS i FROM pick
), picked AS (
    UPDATE work w SET place = 'x', worker_no = $9, attempt_id = ($12::uuid[])[numbered.i], claimed_at = $8
    FROM numbered WHERE w.ctid = numbered.tid
    RETURNING w.run_id, w.task_id, w.map_index, w.dispatch_no, w.try_no, w.losses, w.generation, w.place, w.due_at,
        w.queue, w.rank, w.worker_no, w.attempt_id, w.claimed_at, w.cancel_at
)
SELECT picked.*, go.yes, CASE WHEN NOT go.yes THEN json_build_object(
    'held', coalesce((SELECT json_agg(r) FROM l), '[]'),
    'fenced', coalesce((SELECT json_agg(json_build_array(r, t, i)) FROM bad), '[]'),
    'active', (SELECT active FROM me))::text END
FROM go LEFT JOIN picked ON true
