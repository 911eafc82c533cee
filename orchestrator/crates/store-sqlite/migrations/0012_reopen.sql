-- Task runs that begin anew: state `waiting`, without an end and a cause. Only constraints change, not how rows lie on disk,
-- so the text of the table is replaced as SQLite's documentation describes ("Making Other Kinds Of Table Schema Changes"):
-- no copy of a table that may hold millions of rows, and its indexes stay.
PRAGMA writable_schema = ON;

UPDATE sqlite_schema SET sql = 'CREATE TABLE task_run (
    run_id      TEXT NOT NULL,
    task_id     TEXT NOT NULL CHECK (task_id <> ''''),
    map_index   INTEGER NOT NULL CHECK (map_index >= -1), -- -1 = not mapped
    generation  INTEGER NOT NULL CHECK (generation >= 0),
    dispatch_no INTEGER NOT NULL CHECK (dispatch_no >= 0),
    try_no      INTEGER NOT NULL CHECK (try_no >= 0),
    losses      INTEGER NOT NULL CHECK (losses >= 0),
    state       TEXT NOT NULL
        CHECK (state IN (''waiting'', ''succeeded'', ''failed'', ''skipped'', ''upstream_failed'', ''cancelled'', ''removed'')),
    cause       TEXT CHECK (cause <> ''''),
    started_at  INTEGER,
    ended_at    INTEGER,
    PRIMARY KEY (run_id, task_id, map_index),
    CHECK ((dispatch_no = 0) = (try_no = 0)),
    -- Begins anew in a generation after the first; what is dispatched since stands in `work`.
    CHECK ((state = ''waiting'') = (ended_at IS NULL)),
    CHECK ((state = ''waiting'') = (cause IS NULL)),
    CHECK (state <> ''waiting'' OR (started_at IS NULL AND losses = 0 AND generation > 0))
) STRICT, WITHOUT ROWID'
WHERE type = 'table' AND name = 'task_run';

PRAGMA writable_schema = RESET;

-- Other connections learn of a change of the schema by its number, which these count up.
CREATE TABLE reopen_done (done INTEGER) STRICT;
DROP TABLE reopen_done;
