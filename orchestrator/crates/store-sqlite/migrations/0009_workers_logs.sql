-- Suspects among the workers. SQLite cannot change a CHECK: the table is made anew, its numbers go on where they were.
CREATE TABLE worker_new (
    worker_no   INTEGER PRIMARY KEY AUTOINCREMENT, -- a number is never given twice
    name        TEXT NOT NULL,
    host        TEXT NOT NULL,
    pid         INTEGER NOT NULL CHECK (pid >= 0),
    build       TEXT NOT NULL,
    queues      TEXT NOT NULL, -- JSON list
    slots       INTEGER NOT NULL CHECK (slots >= 0),
    state       TEXT NOT NULL CHECK (state IN ('active', 'draining', 'suspect', 'dead', 'gone')),
    lock_no     INTEGER, -- advisory lock held as evidence of life; null on SQLite, where the file's lock is the evidence
    lease_until INTEGER NOT NULL
) STRICT;
INSERT INTO worker_new SELECT * FROM worker;
DROP TABLE worker;
ALTER TABLE worker_new RENAME TO worker;
CREATE INDEX worker_serving ON worker (worker_no) WHERE state IN ('active', 'draining', 'suspect');

-- Pieces of logs. Insert-only; the pieces between the kept beginning and end of a log that passed its limit go.
CREATE TABLE log_chunk (
    run_id      TEXT NOT NULL,
    task_id     TEXT NOT NULL,
    map_index   INTEGER NOT NULL,
    dispatch_no INTEGER NOT NULL,
    byte_offset INTEGER NOT NULL CHECK (byte_offset >= 0),
    first_line  INTEGER NOT NULL CHECK (first_line >= 1),
    lines       INTEGER NOT NULL CHECK (lines >= 1),
    bytes       INTEGER NOT NULL CHECK (bytes >= 1),
    levels      INTEGER NOT NULL, -- bits of the levels that occur in it: 1 debug, 2 info, 4 warn, 8 error
    body        BLOB NOT NULL, -- first byte: 0 plain text, 1 deflated text
    PRIMARY KEY (run_id, task_id, map_index, dispatch_no, byte_offset)
) STRICT;

-- What is known of a log without reading it.
CREATE TABLE attempt_log (
    run_id       TEXT NOT NULL,
    task_id      TEXT NOT NULL,
    map_index    INTEGER NOT NULL,
    dispatch_no  INTEGER NOT NULL,
    bytes        INTEGER NOT NULL CHECK (bytes >= 0),
    lines        INTEGER NOT NULL CHECK (lines >= 0),
    error_line   INTEGER, -- the first line that says what failed, from 1
    error_offset INTEGER,
    error_text   TEXT,
    gap_from     INTEGER, -- bytes from here to gap_until were left out by the limit
    gap_until    INTEGER,
    gap_lines    INTEGER,
    complete     INTEGER NOT NULL CHECK (complete IN (0, 1)),
    updated_at   INTEGER NOT NULL,
    PRIMARY KEY (run_id, task_id, map_index, dispatch_no),
    CHECK ((error_line IS NULL) = (error_offset IS NULL) AND (error_line IS NULL) = (error_text IS NULL)),
    CHECK ((gap_from IS NULL) = (gap_until IS NULL) AND (gap_from IS NULL) = (gap_lines IS NULL))
) STRICT, WITHOUT ROWID;
