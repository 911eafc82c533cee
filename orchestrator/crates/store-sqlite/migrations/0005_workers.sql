-- Workers and their leases.
CREATE TABLE worker (
    worker_no   INTEGER PRIMARY KEY AUTOINCREMENT, -- a number is never given twice
    name        TEXT NOT NULL,
    host        TEXT NOT NULL,
    pid         INTEGER NOT NULL CHECK (pid >= 0),
    build       TEXT NOT NULL,
    queues      TEXT NOT NULL, -- JSON list
    slots       INTEGER NOT NULL CHECK (slots >= 0),
    state       TEXT NOT NULL CHECK (state IN ('active', 'draining', 'dead', 'gone')),
    lock_no     INTEGER, -- advisory lock held as evidence of life; null on SQLite, where the file's lock is the evidence
    lease_until INTEGER NOT NULL
) STRICT;

CREATE INDEX worker_serving ON worker (worker_no) WHERE state IN ('active', 'draining');
