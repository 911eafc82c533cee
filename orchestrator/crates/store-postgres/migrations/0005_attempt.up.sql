-- Attempts that are over. Insert-only: a live attempt is a work row in place x.
CREATE TABLE attempt (
    run_id      uuid NOT NULL,
    task_id     text NOT NULL,
    map_index   integer NOT NULL,
    dispatch_no integer NOT NULL CHECK (dispatch_no >= 1),
    attempt_id  uuid NOT NULL,
    try_no      integer NOT NULL CHECK (try_no >= 1),
    generation  integer NOT NULL CHECK (generation >= 0),
    worker_no   bigint,
    claimed_at  timestamptz,
    started_at  timestamptz,
    ended_at    timestamptz NOT NULL,
    outcome     text NOT NULL
        CHECK (outcome IN ('succeeded', 'skipped', 'deferred', 'failed', 'timed_out', 'lost', 'cancelled')),
    cause       text NOT NULL,
    class       text,
    message     text,
    output      text,
    PRIMARY KEY (run_id, task_id, map_index, dispatch_no)
);
COMMENT ON COLUMN attempt.output IS 'Canonical JSON, at most 48 KiB. The only copy.';
COMMENT ON COLUMN attempt.class IS 'Error class, as retry_on names it.';
