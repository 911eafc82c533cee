-- Keys under which a request may be made again without being carried out again.
CREATE TABLE idempotency (
    owner   text COLLATE "C" NOT NULL,
    key     text COLLATE "C" NOT NULL,
    request text COLLATE "C" NOT NULL CHECK (length(request) = 64),
    run_id  uuid NOT NULL,
    at      timestamptz NOT NULL,
    PRIMARY KEY (owner, key)
);
CREATE INDEX idempotency_at ON idempotency (at);
COMMENT ON COLUMN idempotency.request IS 'sha-256 of the request, hex.';
