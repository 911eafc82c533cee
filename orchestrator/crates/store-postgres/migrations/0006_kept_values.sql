-- Small values that tasks keep: per task run (put once), and shared across runs (compare and set).
CREATE TABLE task_state (
    run_id     uuid NOT NULL,
    task_id    text COLLATE "C" NOT NULL,
    map_index  integer NOT NULL,
    generation integer NOT NULL,
    name       text NOT NULL,
    value      text NOT NULL CHECK (octet_length(value) <= 16384),
    PRIMARY KEY (run_id, task_id, map_index, generation, name)
);

CREATE TABLE shared_state (
    scope      text NOT NULL,
    key        text NOT NULL,
    value      text NOT NULL CHECK (octet_length(value) <= 16384),
    version    bigint NOT NULL CHECK (version >= 1),
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (scope, key)
);
