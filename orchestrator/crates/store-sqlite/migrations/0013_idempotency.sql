-- Keys under which a request may be made again without being carried out again.
CREATE TABLE idempotency (
    owner   TEXT NOT NULL,
    key     TEXT NOT NULL,
    request TEXT NOT NULL CHECK (length(request) = 64), -- sha-256 of the request, hex
    run_id  TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_at ON idempotency (at);
