-- Run-owned state: what the graph decided. Guarded by (version, stamp); no foreign keys on the hot tables (engine.md F26).
CREATE TABLE run (
    run_id         TEXT NOT NULL PRIMARY KEY CHECK (length(run_id) = 36), -- UUIDv7: in the order of creation
    workflow_id    INTEGER NOT NULL,
    version_id     INTEGER NOT NULL,
    run_key        TEXT NOT NULL,
    trigger        TEXT NOT NULL CHECK (trigger IN ('schedule', 'manual', 'backfill', 'asset', 'event', 'api')),
    logical_at     INTEGER NOT NULL,
    interval_start INTEGER NOT NULL,
    interval_end   INTEGER NOT NULL,
    conf           TEXT NOT NULL, -- JSON: params after defaults
    queue          TEXT NOT NULL,
    priority       INTEGER NOT NULL,
    only_tasks     TEXT, -- JSON list of the chosen tasks; null = all
    state          TEXT NOT NULL
        CHECK (state IN ('queued', 'running', 'cancelling', 'succeeded', 'failed', 'cancelled', 'broken')),
    cause          TEXT,
    version        INTEGER NOT NULL CHECK (version >= 1), -- number of commits
    stamp          TEXT NOT NULL CHECK (length(stamp) = 36), -- id of the last commit
    events         INTEGER NOT NULL CHECK (events >= 0),
    generation     INTEGER NOT NULL CHECK (generation >= 0),
    created_at     INTEGER NOT NULL,
    started_at     INTEGER,
    ended_at       INTEGER,
    updated_at     INTEGER NOT NULL,
    UNIQUE (workflow_id, run_key),
    CHECK (interval_start <= interval_end),
    CHECK ((ended_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled'))),
    CHECK (ended_at IS NULL OR cause IS NOT NULL),
    CHECK (state <> 'running' OR started_at IS NOT NULL),
    CHECK (state <> 'queued' OR started_at IS NULL)
) STRICT, WITHOUT ROWID;

CREATE INDEX run_of_workflow ON run (workflow_id, run_id);
CREATE INDEX run_by_logical_at ON run (workflow_id, logical_at, run_id);
-- Runs that are not over: few, however long the history.
CREATE INDEX run_open ON run (workflow_id, run_id) WHERE state IN ('queued', 'running', 'cancelling', 'broken');

-- One row per run and commit; replaying `body` reproduces run, task_run and the keys of work.
CREATE TABLE run_log (
    run_id  TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version >= 1),
    stamp   TEXT NOT NULL CHECK (length(stamp) = 36),
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    body    TEXT NOT NULL, -- JSON list of events
    PRIMARY KEY (run_id, version)
) STRICT;

-- Task runs that are over. A task run without a row here and in `work` is waiting.
CREATE TABLE task_run (
    run_id      TEXT NOT NULL,
    task_id     TEXT NOT NULL CHECK (task_id <> ''),
    map_index   INTEGER NOT NULL CHECK (map_index >= -1), -- -1 = not mapped
    generation  INTEGER NOT NULL CHECK (generation >= 0),
    dispatch_no INTEGER NOT NULL CHECK (dispatch_no >= 0),
    try_no      INTEGER NOT NULL CHECK (try_no >= 0),
    losses      INTEGER NOT NULL CHECK (losses >= 0),
    state       TEXT NOT NULL
        CHECK (state IN ('succeeded', 'failed', 'skipped', 'upstream_failed', 'cancelled', 'removed')),
    cause       TEXT NOT NULL CHECK (cause <> ''),
    started_at  INTEGER,
    ended_at    INTEGER NOT NULL,
    PRIMARY KEY (run_id, task_id, map_index),
    CHECK ((dispatch_no = 0) = (try_no = 0))
) STRICT, WITHOUT ROWID;
