-- Run-owned state: runs, everything that happened to them, and what the graph decided. Guarded by (version, stamp).
-- No foreign keys on the hot tables (engine.md F26).
CREATE TABLE run (
    run_id         uuid NOT NULL,
    workflow_id    bigint NOT NULL,
    version_id     bigint NOT NULL,
    run_key        text COLLATE "C" NOT NULL CHECK (run_key <> ''),
    trigger        text NOT NULL CHECK (trigger IN ('schedule', 'manual', 'backfill', 'asset', 'event', 'api')),
    logical_at     timestamptz NOT NULL,
    interval_start timestamptz NOT NULL,
    interval_end   timestamptz NOT NULL,
    conf           text NOT NULL,
    queue          text NOT NULL,
    priority       integer NOT NULL,
    only_tasks     text,
    state          text NOT NULL
        CHECK (state IN ('queued', 'running', 'cancelling', 'succeeded', 'failed', 'cancelled', 'broken')),
    cause          text,
    version        bigint NOT NULL CHECK (version >= 1),
    stamp          uuid NOT NULL,
    events         bigint NOT NULL CHECK (events >= 0),
    generation     integer NOT NULL CHECK (generation >= 0),
    created_at     timestamptz NOT NULL,
    started_at     timestamptz,
    ended_at       timestamptz,
    updated_at     timestamptz NOT NULL,
    CHECK (interval_start <= interval_end),
    CHECK ((ended_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled'))),
    CHECK (ended_at IS NULL OR cause IS NOT NULL),
    CHECK (state <> 'running' OR started_at IS NOT NULL),
    CHECK (state <> 'queued' OR started_at IS NULL)
) WITH (fillfactor = 70);
COMMENT ON COLUMN run.stamp IS 'Id of the last commit; with version it tells whether a cached state is still true.';
COMMENT ON COLUMN run.only_tasks IS 'JSON list of the chosen tasks; null = all.';
COMMENT ON COLUMN run.events IS 'Number of events in run_log so far.';

CREATE INDEX run_of_workflow ON run (workflow_id, run_id);
CREATE INDEX run_by_logical_at ON run (workflow_id, logical_at, run_id);
-- Runs that are not over: few, however long the history.
-- No index may name a column that each commit changes: updates of a running run stay heap-only.
CREATE INDEX run_open ON run (workflow_id, run_id) WHERE state IN ('queued', 'running', 'cancelling', 'broken');

-- Last, for then the planner meets them first: while the table is small all indexes cost the same, a plan that is made
-- then is kept, and it must look a run up by its key.
ALTER TABLE run ADD UNIQUE (workflow_id, run_key);
ALTER TABLE run ADD PRIMARY KEY (run_id);

CREATE TABLE run_log (
    run_id  uuid NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    stamp   uuid NOT NULL,
    at      timestamptz NOT NULL,
    actor   text NOT NULL,
    body    text NOT NULL,
    PRIMARY KEY (run_id, version)
);
COMMENT ON TABLE run_log IS 'Append-only. One row per run and commit; body is the JSON list of its events.';

-- Task runs that are over. A task run without a row here and in work is waiting.
CREATE TABLE task_run (
    run_id      uuid NOT NULL,
    task_id     text COLLATE "C" NOT NULL,
    map_index   integer NOT NULL CHECK (map_index >= -1),
    generation  integer NOT NULL CHECK (generation >= 0),
    dispatch_no integer NOT NULL CHECK (dispatch_no >= 0),
    try_no      integer NOT NULL CHECK (try_no >= 0),
    losses      integer NOT NULL CHECK (losses >= 0),
    state       text NOT NULL
        CHECK (state IN ('succeeded', 'failed', 'skipped', 'upstream_failed', 'cancelled', 'removed')),
    cause       text NOT NULL CHECK (cause <> ''),
    started_at  timestamptz,
    ended_at    timestamptz NOT NULL,
    PRIMARY KEY (run_id, task_id, map_index),
    CHECK ((dispatch_no = 0) = (try_no = 0))
);
