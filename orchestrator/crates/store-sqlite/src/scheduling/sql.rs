//! The statements. Lists are JSON lists of rows, read by position.

macro_rules! schedule {
    () => {
        "w.name, w.workflow_id, w.paused, w.paused_at, w.paused_by, w.paused_reason, w.retired_at, w.max_active_runs, \
         s.version_id, s.next_fire_at, s.below, s.progress, s.skipped, s.error"
    };
}

pub(super) const WORKFLOWS: &str = "/* published workflows */ SELECT w.name, w.workflow_id, w.current_version_id, v.sha256, \
w.source, w.retired_at IS NOT NULL, w.paused FROM workflow w JOIN workflow_version v ON v.version_id = w.current_version_id \
ORDER BY w.name";

/// $1 rows of: name, sha256, source, path, compiled, source id, max active runs, paused.
pub(super) const BEFORE: &str = "/* before publishing */ SELECT w.name, w.retired_at IS NOT NULL, s.progress, v.compiled, w.workflow_id \
FROM json_each($1) j CROSS JOIN workflow w ON w.name = j.value ->> 0 LEFT JOIN schedule s ON s.workflow_id = w.workflow_id \
LEFT JOIN workflow_version v ON v.version_id = s.version_id";

pub(super) const NEW_WORKFLOWS: &str = "/* new workflows */ INSERT INTO workflow (name, created_at, source, max_active_runs, paused) \
SELECT j.value ->> 0, $2, j.value ->> 5, j.value ->> 6, j.value ->> 7 FROM json_each($1) j WHERE true \
ON CONFLICT (name) DO NOTHING";

pub(super) const NEW_VERSIONS: &str = "/* new versions */ INSERT INTO workflow_version (workflow_id, sha256, source, path, compiled, created_at, source_id) \
SELECT w.workflow_id, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, $2, j.value ->> 5 \
FROM json_each($1) j CROSS JOIN workflow w ON w.name = j.value ->> 0 WHERE true ON CONFLICT (workflow_id, sha256) DO NOTHING";

/// The new values stand by themselves: joined in one go, SQLite would walk all workflows and the list for each of them.
pub(super) const MAKE_CURRENT: &str = "/* current versions */ WITH new AS MATERIALIZED (SELECT w.workflow_id, v.version_id, \
j.value ->> 5 AS source, j.value ->> 6 AS max_active_runs FROM json_each($1) j CROSS JOIN workflow w ON w.name = j.value ->> 0 \
CROSS JOIN workflow_version v ON v.workflow_id = w.workflow_id AND v.sha256 = j.value ->> 1 WHERE $2 IS NOT NULL) \
UPDATE workflow SET current_version_id = new.version_id, source = new.source, max_active_runs = new.max_active_runs, \
retired_at = NULL FROM new WHERE workflow.workflow_id = new.workflow_id RETURNING name, workflow_id, current_version_id, paused";

/// $1 rows of: workflow, version, progress, cursor, next, below, error.
pub(super) const KEEP_SCHEDULES: &str = "/* keep schedules */ INSERT INTO schedule (workflow_id, version_id, progress, cursor_at, next_fire_at, below, error, updated_at) \
SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5, j.value ->> 6, $2 \
FROM json_each($1) j WHERE true ON CONFLICT (workflow_id) DO UPDATE SET version_id = excluded.version_id, progress = excluded.progress, \
cursor_at = excluded.cursor_at, next_fire_at = excluded.next_fire_at, below = excluded.below, error = excluded.error, updated_at = $2";

pub(super) const FORGET_SCHEDULES: &str =
    "/* forget schedules */ DELETE FROM schedule WHERE workflow_id IN (SELECT j.value ->> 0 FROM json_each($1) j)";

pub(super) const RETIRE: &str = "/* retire */ UPDATE workflow SET retired_at = $2 WHERE name IN (SELECT value FROM json_each($1)) \
AND retired_at IS NULL RETURNING workflow_id";

pub(super) const SILENCE: &str = "/* silence */ UPDATE schedule SET next_fire_at = NULL, below = NULL \
WHERE workflow_id IN (SELECT j.value ->> 0 FROM json_each($1) j)";

pub(super) const SET_PAUSED: &str = "/* pause */ UPDATE workflow SET paused = $2, paused_at = iif($2, $3, NULL), \
paused_by = iif($2, $4, NULL), paused_reason = iif($2, $5, NULL) WHERE workflow_id = $1";

/// $1 workflow, $2 next, $3 below, $4 error, $5 now.
pub(super) const LOOK: &str = "/* look at a schedule */ UPDATE schedule SET next_fire_at = $2, below = $3, error = $4, updated_at = $5 \
WHERE workflow_id = $1 RETURNING workflow_id";

/// $1 release, $2 now. A row if it is another one than before.
pub(super) const ZONE_RULES: &str = "/* zone rules */ INSERT INTO shared_state (scope, key, value, version, updated_at) \
VALUES ('updraft', 'tzdb', $1, 1, $2) ON CONFLICT (scope, key) DO UPDATE SET value = excluded.value, \
version = shared_state.version + 1, updated_at = excluded.updated_at WHERE shared_state.value <> excluded.value RETURNING version";

/// $1 now.
pub(super) const LOOK_AT_ZONES: &str = "/* look at zones */ UPDATE schedule SET next_fire_at = $1 WHERE next_fire_at > $1 \
AND (SELECT v.compiled ->> '$.schedule.cron.timezone' FROM workflow_version v WHERE v.version_id = schedule.version_id) <> 'UTC' \
RETURNING workflow_id";

pub(super) const FILES: &str = "/* files */ SELECT path, workflow, sha256, diagnostics, broken, since FROM source_file \
WHERE source = $1 AND folder = $2 ORDER BY path";

pub(super) const BROKEN_FILES: &str = "/* broken files */ SELECT source, folder, path, workflow, sha256, diagnostics, broken, since \
FROM source_file WHERE broken = 1 ORDER BY source, path";

pub(super) const FORGET_FILES: &str = "/* forget files */ DELETE FROM source_file WHERE source = $1 AND folder = $2 \
AND path IN (SELECT value FROM json_each($3)) RETURNING path";

pub(super) const KEEP_FILES: &str = "/* keep files */ INSERT INTO source_file (source, folder, path, workflow, sha256, diagnostics, broken, since) \
SELECT $1, $2, j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5 FROM json_each($3) j WHERE true \
ON CONFLICT (source, folder, path) DO UPDATE SET workflow = excluded.workflow, sha256 = excluded.sha256, \
diagnostics = excluded.diagnostics, broken = excluded.broken, since = excluded.since RETURNING path";

pub(super) const NEXT_FIRE: &str =
    "/* next fire */ SELECT min(next_fire_at) FROM schedule INDEXED BY schedule_due WHERE next_fire_at IS NOT NULL";

pub(super) const DUE: &str = "/* due schedules */ SELECT workflow_id, version_id, next_fire_at FROM schedule INDEXED BY schedule_due \
WHERE next_fire_at <= $1 ORDER BY next_fire_at, workflow_id LIMIT $2";

pub(super) const COMPILED: &str = "/* compiled */ SELECT v.version_id, v.compiled FROM json_each($1) j \
CROSS JOIN workflow_version v ON v.version_id = j.value ->> 0";

/// $1 rows of workflows, $2 now.
pub(super) const LOCK_DUE: &str = "/* fire */ SELECT s.workflow_id, s.version_id, s.progress, w.max_active_runs \
FROM json_each($1) j CROSS JOIN schedule s ON s.workflow_id = j.value ->> 0 CROSS JOIN workflow w ON w.workflow_id = s.workflow_id \
WHERE s.next_fire_at <= $2 AND NOT w.paused AND w.retired_at IS NULL ORDER BY s.next_fire_at, s.workflow_id";

pub(super) const LOADS: &str = "/* loads */ SELECT r.workflow_id, r.state, r.trigger = 'schedule', count(*) FROM json_each($1) j \
CROSS JOIN run r INDEXED BY run_open ON r.workflow_id = j.value ->> 0 \
WHERE r.state IN ('queued', 'running', 'cancelling', 'broken') AND r.state <> 'broken' GROUP BY 1, 2, 3";

/// $1 rows of: index, workflow, key.
pub(super) const TAKEN: &str = "/* taken keys */ SELECT j.value ->> 0 FROM json_each($1) j \
WHERE EXISTS (SELECT 1 FROM run r WHERE r.workflow_id = j.value ->> 1 AND r.run_key = j.value ->> 2)";

/// $1 rows of: workflow, progress, cursor, next, below, error. Without progress it stays.
pub(super) const MOVE: &str = "/* move schedules on */ UPDATE schedule SET progress = ifnull(j.value ->> 1, progress), \
cursor_at = ifnull(j.value ->> 2, cursor_at), next_fire_at = j.value ->> 3, below = j.value ->> 4, error = j.value ->> 5, \
updated_at = $2 FROM json_each($1) j WHERE schedule.workflow_id = j.value ->> 0";

/// $1 rows of: workflow, from, until, count, reason; $2 now.
pub(super) const SKIP: &str = "/* skipped fires */ INSERT INTO skipped_fire (workflow_id, from_at, until_at, count, reason, at) \
SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, $2 FROM json_each($1) j; \
UPDATE schedule SET skipped = skipped + j.count FROM (SELECT value ->> 0 AS workflow_id, sum(value ->> 3) AS count FROM json_each($1) \
GROUP BY 1) j WHERE schedule.workflow_id = j.workflow_id";

pub(super) const LIMIT: &str = "/* limit */ SELECT max_active_runs FROM workflow WHERE workflow_id = $1";

pub(super) const QUEUED: &str = "/* queued runs */ SELECT r.run_id FROM run r INDEXED BY run_open WHERE r.workflow_id = $1 \
AND r.state IN ('queued', 'running', 'cancelling', 'broken') AND r.state = 'queued' \
ORDER BY r.priority DESC, r.created_at, r.run_id LIMIT $2";

/// $1 workflow, $2 open runs, $3 now.
pub(super) const HURRY: &str = "/* hurry */ UPDATE schedule SET next_fire_at = $3, below = NULL WHERE workflow_id = $1 AND below > $2 \
AND (next_fire_at IS NULL OR next_fire_at > $3) AND EXISTS (SELECT 1 FROM workflow w WHERE w.workflow_id = schedule.workflow_id \
AND NOT w.paused AND w.retired_at IS NULL) RETURNING workflow_id";

pub(super) const STARTABLE: &str = "/* startable */ WITH open AS MATERIALIZED (SELECT r.workflow_id, count(*) AS open, \
sum(r.state = 'queued') AS queued FROM run r INDEXED BY run_open \
WHERE r.state IN ('queued', 'running', 'cancelling', 'broken') AND r.state <> 'broken' GROUP BY r.workflow_id) \
SELECT o.workflow_id FROM open o CROSS JOIN workflow w ON w.workflow_id = o.workflow_id \
WHERE o.queued > 0 AND o.open - o.queued < w.max_active_runs \
UNION SELECT s.workflow_id FROM schedule s INDEXED BY schedule_below WHERE s.below IS NOT NULL \
AND s.below > ifnull((SELECT o.open FROM open o WHERE o.workflow_id = s.workflow_id), 0)";

pub(super) const SCHEDULES: &str = concat!(
    "/* schedules */ SELECT ",
    schedule!(),
    " FROM workflow w LEFT JOIN schedule s ON s.workflow_id = w.workflow_id WHERE w.name > $1 ORDER BY w.name LIMIT $2"
);

pub(super) const ONE_SCHEDULE: &str = concat!(
    "/* schedule */ SELECT ",
    schedule!(),
    " FROM workflow w LEFT JOIN schedule s ON s.workflow_id = w.workflow_id WHERE w.name = $1"
);

pub(super) const NEXT_SCHEDULES: &str = concat!(
    "/* next schedules */ SELECT ",
    schedule!(),
    " FROM schedule s INDEXED BY schedule_due CROSS JOIN workflow w ON w.workflow_id = s.workflow_id \
     WHERE s.next_fire_at IS NOT NULL ORDER BY s.next_fire_at, s.workflow_id LIMIT $1"
);

pub(super) const TOTALS: &str = "/* totals */ SELECT count(*) FILTER (WHERE NOT w.paused AND w.retired_at IS NULL), \
count(*) FILTER (WHERE s.next_fire_at <= $1), min(s.next_fire_at), ifnull(sum(s.skipped), 0), count(s.error) \
FROM schedule s JOIN workflow w ON w.workflow_id = s.workflow_id";

macro_rules! skipped {
    () => {
        "w.name, k.from_at, k.until_at, k.count, k.reason, k.at FROM skipped_fire k JOIN workflow w ON w.workflow_id = k.workflow_id "
    };
}

pub(super) const SKIPPED_OF: &str = concat!(
    "/* skipped of */ SELECT ",
    skipped!(),
    "WHERE k.workflow_id = (SELECT workflow_id FROM workflow WHERE name = $1) AND k.at >= $2 ORDER BY k.skip_id DESC LIMIT $3"
);

pub(super) const SKIPPED: &str = concat!(
    "/* skipped */ SELECT ",
    skipped!(),
    "WHERE $1 IS NULL AND k.at >= $2 ORDER BY k.at DESC, k.skip_id DESC LIMIT $3"
);
