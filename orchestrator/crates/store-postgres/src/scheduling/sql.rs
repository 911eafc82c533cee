//! The statements. Lists are JSON lists of objects with one-letter names, or arrays. What they name is looked up by key,
//! one by one, and then changed by its place: the plan has no choice (engine.md F24). Whoever moves a schedule holds it or
//! its workflow, so places stay.

macro_rules! schedule {
    () => {
        "w.name, w.workflow_id, w.paused, w.paused_at, w.paused_by, w.paused_reason, w.retired_at, w.max_active_runs, \
         s.version_id, s.next_fire_at, s.below, s.progress, s.skipped, s.error"
    };
}

macro_rules! publication {
    () => {
        "json_to_recordset($1::text::json) AS j(w text, h text, s text, p text, c text, i text, m int4, b bool)"
    };
}

pub(super) const WORKFLOWS: &str = "SELECT w.name, w.workflow_id, w.current_version_id, v.sha256, w.source, \
w.retired_at IS NOT NULL, w.paused FROM workflow w JOIN workflow_version v ON v.version_id = w.current_version_id ORDER BY w.name";

pub(super) const NEW_WORKFLOWS: &str = concat!(
    "INSERT INTO workflow (name, created_at, source, max_active_runs, paused) SELECT w, $2, i, m, b FROM ",
    publication!(),
    " ORDER BY w ON CONFLICT (name) DO NOTHING"
);

/// In the order of names: whoever locks several waits in that order.
pub(super) const LOCK_WORKFLOWS: &str =
    "SELECT workflow_id FROM workflow WHERE name = ANY($1::text[]) ORDER BY name FOR NO KEY UPDATE";

pub(super) const BEFORE: &str = concat!(
    "SELECT w.name, w.retired, s.progress, s.compiled, w.workflow_id FROM ",
    publication!(),
    " CROSS JOIN LATERAL (SELECT w.name, w.workflow_id, w.retired_at IS NOT NULL AS retired FROM workflow w \
       WHERE w.name = j.w OFFSET 0) w \
     LEFT JOIN LATERAL (SELECT s.progress, (SELECT v.compiled FROM workflow_version v WHERE v.version_id = s.version_id) AS compiled \
       FROM schedule s WHERE s.workflow_id = w.workflow_id OFFSET 0) s ON true"
);

pub(super) const NEW_VERSIONS: &str = concat!(
    "INSERT INTO workflow_version (workflow_id, sha256, source, path, compiled, created_at, source_id) \
     SELECT w.workflow_id, j.h, j.s, j.p, j.c, $2, j.i FROM ",
    publication!(),
    " CROSS JOIN LATERAL (SELECT w.workflow_id FROM workflow w WHERE w.name = j.w OFFSET 0) w \
     ORDER BY w.workflow_id ON CONFLICT (workflow_id, sha256) DO NOTHING"
);

pub(super) const MAKE_CURRENT: &str = concat!(
    "WITH n AS MATERIALIZED (SELECT w.tid, v.version_id, j.i, j.m FROM ",
    publication!(),
    " CROSS JOIN LATERAL (SELECT w.ctid AS tid, w.workflow_id FROM workflow w WHERE w.name = j.w OFFSET 0) w \
     CROSS JOIN LATERAL (SELECT v.version_id FROM workflow_version v WHERE v.workflow_id = w.workflow_id AND v.sha256 = j.h OFFSET 0) v) \
     UPDATE workflow w SET current_version_id = n.version_id, source = n.i, max_active_runs = n.m, retired_at = NULL \
     FROM n WHERE w.ctid = n.tid RETURNING w.name, w.workflow_id, w.current_version_id, w.paused"
);

pub(super) const KEEP_SCHEDULES: &str = "INSERT INTO schedule AS old (workflow_id, version_id, progress, cursor_at, next_fire_at, below, error, updated_at) \
SELECT w, v, p, to_timestamp(c::float8 / 1000), to_timestamp(n::float8 / 1000), b, e, $2 \
FROM json_to_recordset($1::text::json) AS j(w int8, v int8, p text, c int8, n int8, b int4, e text) ORDER BY w \
ON CONFLICT (workflow_id) DO UPDATE SET version_id = excluded.version_id, progress = excluded.progress, cursor_at = excluded.cursor_at, \
next_fire_at = excluded.next_fire_at, below = excluded.below, error = excluded.error, updated_at = $2";

pub(super) const FORGET_SCHEDULES: &str = "DELETE FROM schedule WHERE workflow_id = ANY($1::int8[])";

pub(super) const RETIRE: &str =
    "UPDATE workflow SET retired_at = $2 WHERE name = ANY($1::text[]) AND retired_at IS NULL RETURNING workflow_id";

pub(super) const SILENCE: &str =
    "UPDATE schedule SET next_fire_at = NULL, below = NULL WHERE workflow_id = ANY($1::int8[])";

pub(super) const SET_PAUSED: &str = "UPDATE workflow SET paused = $2, paused_at = CASE WHEN $2 THEN $3::timestamptz END, \
paused_by = CASE WHEN $2 THEN $4::text END, paused_reason = CASE WHEN $2 THEN $5::text END WHERE workflow_id = $1";

pub(super) const LOOK: &str =
    "UPDATE schedule SET next_fire_at = $2, below = $3::int8::int4, error = $4, updated_at = $5 WHERE workflow_id = $1";

pub(super) const FILES: &str = "SELECT path, workflow, sha256, diagnostics, broken, since FROM source_file WHERE source = $1 AND folder = $2 ORDER BY path";

pub(super) const BROKEN_FILES: &str = "SELECT source, folder, path, workflow, sha256, diagnostics, broken, since FROM source_file WHERE broken ORDER BY source, path";

pub(super) const FORGET_FILES: &str =
    "DELETE FROM source_file WHERE source = $1 AND folder = $2 AND path = ANY($3::text[])";

/// $1 release, $2 now. A row if it is another one than before.
pub(super) const ZONE_RULES: &str = "INSERT INTO shared_state AS old (scope, key, value, version, updated_at) \
VALUES ('updraft', 'tzdb', $1, 1, $2) ON CONFLICT (scope, key) DO UPDATE SET value = excluded.value, \
version = old.version + 1, updated_at = excluded.updated_at WHERE old.value <> excluded.value RETURNING version";

/// $1 now.
pub(super) const LOOK_AT_ZONES: &str = "UPDATE schedule s SET next_fire_at = $1 FROM workflow_version v \
WHERE s.next_fire_at > $1 AND v.version_id = s.version_id AND v.compiled::jsonb #>> '{schedule,cron,timezone}' <> 'UTC' \
RETURNING s.workflow_id";

pub(super) const CLOCK: &str = "SELECT clock_timestamp()";

pub(super) const KEEP_FILES: &str = "INSERT INTO source_file AS old (source, folder, path, workflow, sha256, diagnostics, broken, since) \
SELECT $1, $2, p, w, h, d, b, to_timestamp(s::float8 / 1000) \
FROM json_to_recordset($3::text::json) AS j(p text, w text, h text, d text, b bool, s int8) ORDER BY p \
ON CONFLICT (source, folder, path) DO UPDATE SET workflow = excluded.workflow, sha256 = excluded.sha256, \
diagnostics = excluded.diagnostics, broken = excluded.broken, since = excluded.since";

pub(super) const NEXT_FIRE: &str =
    "SELECT next_fire_at FROM schedule WHERE next_fire_at IS NOT NULL ORDER BY next_fire_at LIMIT 1";

pub(super) const DUE: &str = "SELECT workflow_id, version_id, next_fire_at FROM schedule WHERE next_fire_at <= $1 \
ORDER BY next_fire_at, workflow_id LIMIT $2";

pub(super) const COMPILED: &str =
    "SELECT version_id, compiled FROM workflow_version WHERE version_id = ANY($1::int8[])";

/// What is due and free, with its workflow: never waits.
pub(super) const LOCK_DUE: &str = "SELECT s.workflow_id, s.version_id, s.progress, w.max_active_runs FROM schedule s \
JOIN workflow w ON w.workflow_id = s.workflow_id WHERE s.workflow_id = ANY($1::int8[]) AND s.next_fire_at <= $2 AND NOT w.paused \
AND w.retired_at IS NULL ORDER BY s.workflow_id FOR NO KEY UPDATE OF s, w SKIP LOCKED";

pub(super) const LOADS: &str = "SELECT workflow_id, state, trigger = 'schedule', count(*) FROM run \
WHERE workflow_id = ANY($1::int8[]) AND state IN ('queued', 'running', 'cancelling', 'broken') AND state <> 'broken' GROUP BY 1, 2, 3";

pub(super) const MOVE: &str = "WITH n AS MATERIALIZED (SELECT j.*, found.tid \
FROM json_to_recordset($1::text::json) AS j(w int8, p text, c int8, n int8, b int4, e text) CROSS JOIN LATERAL \
(SELECT s.ctid AS tid FROM schedule s WHERE s.workflow_id = j.w OFFSET 0) found) \
UPDATE schedule s SET progress = coalesce(n.p, s.progress), cursor_at = coalesce(to_timestamp(n.c::float8 / 1000), s.cursor_at), \
next_fire_at = to_timestamp(n.n::float8 / 1000), below = n.b, error = n.e, updated_at = $2 FROM n WHERE s.ctid = n.tid";

pub(super) const SKIP: &str = "WITH j AS MATERIALIZED (SELECT * FROM json_to_recordset($1::text::json) AS j(w int8, f int8, u int8, c int8, r text)), \
kept AS (INSERT INTO skipped_fire (workflow_id, from_at, until_at, count, reason, at) \
SELECT w, to_timestamp(f::float8 / 1000), to_timestamp(u::float8 / 1000), c, r, $2 FROM j), \
n AS MATERIALIZED (SELECT x.c, found.tid FROM (SELECT w, sum(c)::int8 AS c FROM j GROUP BY w) x CROSS JOIN LATERAL \
(SELECT s.ctid AS tid FROM schedule s WHERE s.workflow_id = x.w OFFSET 0) found) \
UPDATE schedule s SET skipped = s.skipped + n.c FROM n WHERE s.ctid = n.tid";

pub(super) const LOCK_LIMIT: &str = "SELECT max_active_runs FROM workflow WHERE workflow_id = $1 FOR NO KEY UPDATE";

pub(super) const LIMIT: &str = "SELECT max_active_runs FROM workflow WHERE workflow_id = $1";

pub(super) const LOCK_QUEUED: &str = "SELECT run_id FROM run WHERE workflow_id = $1 \
AND state IN ('queued', 'running', 'cancelling', 'broken') AND state = 'queued' \
ORDER BY priority DESC, created_at, run_id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED";

pub(super) const HURRY: &str = "UPDATE schedule s SET next_fire_at = $3, below = NULL FROM workflow w WHERE s.workflow_id = $1 \
AND s.below > $2 AND (s.next_fire_at IS NULL OR s.next_fire_at > $3) AND w.workflow_id = s.workflow_id AND NOT w.paused \
AND w.retired_at IS NULL";

pub(super) const STARTABLE: &str = "WITH open AS MATERIALIZED (SELECT workflow_id, count(*) AS open, \
count(*) FILTER (WHERE state = 'queued') AS queued FROM run \
WHERE state IN ('queued', 'running', 'cancelling', 'broken') AND state <> 'broken' GROUP BY workflow_id) \
SELECT o.workflow_id FROM open o JOIN workflow w ON w.workflow_id = o.workflow_id \
WHERE o.queued > 0 AND o.open - o.queued < w.max_active_runs \
UNION SELECT s.workflow_id FROM schedule s WHERE s.below IS NOT NULL \
AND s.below > coalesce((SELECT o.open FROM open o WHERE o.workflow_id = s.workflow_id), 0)";

pub(super) const SCHEDULES: &str = concat!(
    "SELECT ",
    schedule!(),
    " FROM workflow w LEFT JOIN schedule s ON s.workflow_id = w.workflow_id WHERE w.name > $1 ORDER BY w.name LIMIT $2"
);

pub(super) const ONE_SCHEDULE: &str = concat!(
    "SELECT ",
    schedule!(),
    " FROM workflow w LEFT JOIN schedule s ON s.workflow_id = w.workflow_id WHERE w.name = $1"
);

pub(super) const NEXT_SCHEDULES: &str = concat!(
    "SELECT ",
    schedule!(),
    " FROM schedule s JOIN workflow w ON w.workflow_id = s.workflow_id WHERE s.next_fire_at IS NOT NULL \
     ORDER BY s.next_fire_at, s.workflow_id LIMIT $1"
);

pub(super) const TOTALS: &str = "SELECT count(*) FILTER (WHERE NOT w.paused AND w.retired_at IS NULL), \
count(*) FILTER (WHERE s.next_fire_at <= $1), min(s.next_fire_at), coalesce(sum(s.skipped), 0)::int8, count(s.error) \
FROM schedule s JOIN workflow w ON w.workflow_id = s.workflow_id";

macro_rules! skipped {
    () => {
        "w.name, k.from_at, k.until_at, k.count, k.reason, k.at FROM skipped_fire k JOIN workflow w ON w.workflow_id = k.workflow_id "
    };
}

pub(super) const SKIPPED_OF: &str = concat!(
    "SELECT ",
    skipped!(),
    "WHERE k.workflow_id = (SELECT workflow_id FROM workflow WHERE name = $1) AND ($2::timestamptz IS NULL OR k.at >= $2) \
     ORDER BY k.skip_id DESC LIMIT $3"
);

pub(super) const SKIPPED: &str = concat!(
    "SELECT ",
    skipped!(),
    "WHERE $1::text IS NULL AND ($2::timestamptz IS NULL OR k.at >= $2) ORDER BY k.at DESC, k.skip_id DESC LIMIT $3"
);
