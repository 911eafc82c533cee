-- Task runs that are over. A task run without a row here and in work is waiting.
CREATE TABLE task_run (
    run_id      uuid NOT NULL,
    task_id     text NOT NULL,
    map_index   integer NOT NULL CHECK (map_index >= -1),
    generation  integer NOT NULL CHECK (generation >= 0),
    dispatch_no integer NOT NULL CHECK (dispatch_no >= 0),
    try_no      integer NOT NULL CHECK (try_no >= 0),
    losses      integer NOT NULL CHECK (losses >= 0),
    state       text NOT NULL
        CHECK (state IN ('succeeded', 'failed', 'skipped', 'upstream_failed', 'cancelled', 'removed')),
    cause       text NOT NULL,
    started_at  timestamptz,
    ended_at    timestamptz NOT NULL,
    PRIMARY KEY (run_id, task_id, map_index)
);
