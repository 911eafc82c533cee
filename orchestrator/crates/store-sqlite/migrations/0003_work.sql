-- Dispatch-owned state: where a dispatched task run is. One row per dispatched task run, changed without touching its run.
-- place: r ready, x executing, t timer, p polled, g gated, w waiting for somebody outside.
CREATE TABLE work (
    run_id      TEXT NOT NULL,
    task_id     TEXT NOT NULL CHECK (task_id <> ''),
    map_index   INTEGER NOT NULL CHECK (map_index >= -1),
    dispatch_no INTEGER NOT NULL CHECK (dispatch_no >= 1), -- half of the fence
    try_no      INTEGER NOT NULL CHECK (try_no >= 1),
    losses      INTEGER NOT NULL CHECK (losses >= 0),
    generation  INTEGER NOT NULL CHECK (generation >= 0),
    place       TEXT NOT NULL CHECK (place IN ('r', 'x', 't', 'p', 'g', 'w')),
    due_at      INTEGER,
    queue       TEXT NOT NULL,
    rank        INTEGER NOT NULL, -- smaller goes first
    worker_no   INTEGER,
    attempt_id  TEXT CHECK (length(attempt_id) = 36), -- the other half of the fence
    claimed_at  INTEGER,
    cancel_at   INTEGER,
    PRIMARY KEY (run_id, task_id, map_index),
    CHECK ((place = 'x') = (worker_no IS NOT NULL)),
    CHECK ((place = 'x') = (attempt_id IS NOT NULL)),
    CHECK ((place = 'x') = (claimed_at IS NOT NULL)),
    CHECK ((place IN ('t', 'p')) = (due_at IS NOT NULL)),
    CHECK (cancel_at IS NULL OR place = 'x')
) STRICT, WITHOUT ROWID;

CREATE INDEX work_ready ON work (queue, rank, run_id, task_id, map_index) WHERE place = 'r';
CREATE INDEX work_due ON work (due_at) WHERE place IN ('t', 'p');
CREATE INDEX work_of_worker ON work (worker_no) WHERE place = 'x';
