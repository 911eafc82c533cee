-- Dispatched task runs and where they are. Claims and timers change these rows without touching the run.
CREATE TABLE work (
    run_id      uuid NOT NULL,
    task_id     text COLLATE "C" NOT NULL,
    map_index   integer NOT NULL CHECK (map_index >= -1),
    dispatch_no integer NOT NULL CHECK (dispatch_no >= 1),
    try_no      integer NOT NULL CHECK (try_no >= 1),
    losses      integer NOT NULL CHECK (losses >= 0),
    generation  integer NOT NULL CHECK (generation >= 0),
    place       text NOT NULL CHECK (place IN ('r', 'x', 't', 'p', 'g', 'w')),
    due_at      timestamptz,
    queue       text COLLATE "C" NOT NULL,
    rank        bigint NOT NULL,
    worker_no   bigint,
    attempt_id  uuid,
    claimed_at  timestamptz,
    cancel_at   timestamptz,
    PRIMARY KEY (run_id, task_id, map_index),
    CHECK ((place = 'x') = (worker_no IS NOT NULL)),
    CHECK ((place = 'x') = (attempt_id IS NOT NULL)),
    CHECK ((place = 'x') = (claimed_at IS NOT NULL)),
    CHECK ((place IN ('t', 'p')) = (due_at IS NOT NULL)),
    CHECK (cancel_at IS NULL OR place = 'x')
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
COMMENT ON COLUMN work.place IS
    'r ready, x executing, t waiting for due_at, p polled, g waiting for a gate, w waiting for somebody outside.';
COMMENT ON COLUMN work.dispatch_no IS 'The fence: a result counts only under this number and attempt_id.';

CREATE INDEX work_ready ON work (queue, rank, run_id, task_id, map_index) WHERE place = 'r';
CREATE INDEX work_due ON work (due_at) WHERE place IN ('t', 'p');
CREATE INDEX work_of_worker ON work (worker_no) WHERE place = 'x';
