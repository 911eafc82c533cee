-- Attempts that are over. Insert-only: a live attempt is a work row in place x.
CREATE TABLE attempt (
    run_id      uuid NOT NULL,
    task_id     text COLLATE "C" NOT NULL,
    map_index   integer NOT NULL,
    dispatch_no integer NOT NULL CHECK (dispatch_no >= 1),
    attempt_id  uuid NOT NULL,
    try_no      integer NOT NULL CHECK (try_no >= 1),
    generation  integer NOT NULL CHECK (generation >= 0),
    worker_no   bigint NOT NULL,
    claimed_at  timestamptz NOT NULL,
    started_at  timestamptz,
    ended_at    timestamptz NOT NULL,
    outcome     text NOT NULL
        CHECK (outcome IN ('succeeded', 'skipped', 'deferred', 'failed', 'timed_out', 'lost', 'cancelled')),
    cause       text NOT NULL CHECK (cause <> ''),
    class       text,
    message     text CHECK (octet_length(message) <= 8192),
    output      text CHECK (octet_length(output) <= 49152),
    PRIMARY KEY (run_id, task_id, map_index, dispatch_no)
);
COMMENT ON COLUMN attempt.output IS 'Canonical JSON, at most 48 KiB. The only copy.';
COMMENT ON COLUMN attempt.class IS 'Error class, as retry_on names it.';

-- What attempts say about parts of their work, and the named measures of a run.
CREATE TABLE task_item (
    run_id      uuid NOT NULL,
    task_id     text COLLATE "C" NOT NULL,
    map_index   integer NOT NULL,
    dispatch_no integer NOT NULL,
    seq         integer NOT NULL CHECK (seq >= 0),
    kind        text NOT NULL,
    name        text NOT NULL,
    state       text NOT NULL,
    seconds     double precision,
    value       double precision,
    message     text CHECK (octet_length(message) <= 2048),
    PRIMARY KEY (run_id, task_id, map_index, dispatch_no, seq)
);

CREATE TABLE run_metric (
    run_id  uuid NOT NULL,
    task_id text COLLATE "C" NOT NULL,
    name    text NOT NULL,
    labels  text NOT NULL,
    value   double precision NOT NULL,
    unit    text NOT NULL,
    PRIMARY KEY (run_id, task_id, name, labels)
);
COMMENT ON COLUMN run_metric.labels IS 'JSON object, sorted by name.';
