-- Attempts that are over (live ones are rows of `work`): insert-only, in the order of time because run_id is UUIDv7.
CREATE TABLE attempt (
    run_id      TEXT NOT NULL,
    task_id     TEXT NOT NULL,
    map_index   INTEGER NOT NULL,
    dispatch_no INTEGER NOT NULL CHECK (dispatch_no >= 1),
    attempt_id  TEXT NOT NULL CHECK (length(attempt_id) = 36),
    try_no      INTEGER NOT NULL CHECK (try_no >= 1),
    generation  INTEGER NOT NULL CHECK (generation >= 0),
    worker_no   INTEGER NOT NULL,
    claimed_at  INTEGER NOT NULL,
    started_at  INTEGER, -- null: its body never began
    ended_at    INTEGER NOT NULL,
    outcome     TEXT NOT NULL
        CHECK (outcome IN ('succeeded', 'skipped', 'deferred', 'failed', 'timed_out', 'lost', 'cancelled')),
    cause       TEXT NOT NULL CHECK (cause <> ''),
    class       TEXT,
    message     TEXT CHECK (octet_length(message) <= 8192),
    output      TEXT CHECK (octet_length(output) <= 49152), -- JSON, kept here alone
    PRIMARY KEY (run_id, task_id, map_index, dispatch_no)
) STRICT;

-- Parts of an attempt's work that are shown as rows of their own: dbt models and tests, quality rules.
CREATE TABLE task_item (
    run_id      TEXT NOT NULL,
    task_id     TEXT NOT NULL,
    map_index   INTEGER NOT NULL,
    dispatch_no INTEGER NOT NULL,
    seq         INTEGER NOT NULL CHECK (seq >= 0), -- the order in which they were recorded
    kind        TEXT NOT NULL,
    name        TEXT NOT NULL,
    state       TEXT NOT NULL,
    seconds     REAL,
    value       REAL,
    message     TEXT CHECK (octet_length(message) <= 2048),
    PRIMARY KEY (run_id, task_id, map_index, dispatch_no, seq)
) STRICT, WITHOUT ROWID;

-- Named measures of a run; recorded again, the last one stands.
CREATE TABLE run_metric (
    run_id  TEXT NOT NULL,
    task_id TEXT NOT NULL,
    name    TEXT NOT NULL,
    labels  TEXT NOT NULL, -- JSON object, sorted by name
    value   REAL NOT NULL,
    unit    TEXT NOT NULL,
    PRIMARY KEY (run_id, task_id, name, labels)
) STRICT, WITHOUT ROWID;
