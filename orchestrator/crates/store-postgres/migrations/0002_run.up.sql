-- Runs, and everything that happened to them.
CREATE TABLE run (
    run_id         uuid PRIMARY KEY,
    workflow_id    bigint NOT NULL,
    version_id     bigint NOT NULL REFERENCES workflow_version,
    run_key        text NOT NULL CHECK (run_key <> ''),
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
    UNIQUE (workflow_id, run_key),
    CHECK (interval_start <= interval_end),
    CHECK ((ended_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled'))),
    CHECK (cause IS NOT NULL OR state NOT IN ('succeeded', 'failed', 'cancelled'))
) WITH (fillfactor = 70);
COMMENT ON COLUMN run.stamp IS 'Id of the last commit; with version it tells whether a cached state is still true.';
COMMENT ON COLUMN run.only_tasks IS 'JSON list of the chosen tasks; null = all.';
COMMENT ON COLUMN run.events IS 'Number of events in run_log so far.';

CREATE INDEX run_by_workflow ON run (workflow_id, run_id);
-- No index may name a column that each commit changes: updates of a running run stay heap-only.
CREATE INDEX run_open ON run (workflow_id, run_id) WHERE state IN ('queued', 'running', 'cancelling', 'broken');

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
