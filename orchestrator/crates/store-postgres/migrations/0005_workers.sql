-- Worker incarnations and their leases. dead and gone are final: a restart is a new row.
CREATE TABLE worker (
    worker_no   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL,
    host        text NOT NULL,
    pid         bigint NOT NULL CHECK (pid >= 0),
    build       text NOT NULL,
    queues      text NOT NULL,
    slots       bigint NOT NULL CHECK (slots >= 0),
    state       text NOT NULL CHECK (state IN ('active', 'draining', 'dead', 'gone')),
    lock_no     bigint,
    lease_until timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON COLUMN worker.lock_no IS
    'Object id of the advisory lock that its heartbeat session holds (class id: oid of this schema); null = no such evidence.';
COMMENT ON COLUMN worker.queues IS 'JSON list.';
CREATE INDEX worker_serving ON worker (worker_no) WHERE state IN ('active', 'draining');
