-- Small values that tasks keep: per task run (put once a generation) and shared across runs (compare-and-set by version).
CREATE TABLE task_state (
    run_id     TEXT NOT NULL,
    task_id    TEXT NOT NULL,
    map_index  INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    name       TEXT NOT NULL,
    value      TEXT NOT NULL CHECK (octet_length(value) <= 16384),
    PRIMARY KEY (run_id, task_id, map_index, generation, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE shared_state (
    scope      TEXT NOT NULL,
    key        TEXT NOT NULL,
    value      TEXT NOT NULL CHECK (octet_length(value) <= 16384),
    version    INTEGER NOT NULL CHECK (version >= 1),
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
