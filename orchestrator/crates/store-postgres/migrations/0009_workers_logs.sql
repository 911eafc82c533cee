-- Suspects among the workers, and what attempts said.
ALTER TABLE worker DROP CONSTRAINT worker_state_check;
ALTER TABLE worker ADD CONSTRAINT worker_state_check
    CHECK (state IN ('active', 'draining', 'suspect', 'dead', 'gone'));
DROP INDEX worker_serving;
CREATE INDEX worker_serving ON worker (worker_no) WHERE state IN ('active', 'draining', 'suspect');

-- Pieces of logs. Insert-only; the pieces between the kept beginning and end of a log that passed its limit go.
CREATE TABLE log_chunk (
    run_id      uuid NOT NULL,
    task_id     text COLLATE "C" NOT NULL,
    map_index   integer NOT NULL,
    dispatch_no integer NOT NULL,
    byte_offset bigint NOT NULL CHECK (byte_offset >= 0),
    first_line  bigint NOT NULL CHECK (first_line >= 1),
    lines       bigint NOT NULL CHECK (lines >= 1),
    bytes       bigint NOT NULL CHECK (bytes >= 1),
    levels      smallint NOT NULL,
    body        bytea NOT NULL,
    PRIMARY KEY (run_id, task_id, map_index, dispatch_no, byte_offset)
);
COMMENT ON COLUMN log_chunk.levels IS 'Bits of the levels that occur in it: 1 debug, 2 info, 4 warn, 8 error.';
COMMENT ON COLUMN log_chunk.body IS 'First byte: 0 plain text, 1 deflated text.';
-- Packed already.
ALTER TABLE log_chunk ALTER COLUMN body SET STORAGE EXTERNAL;

-- What is known of a log without reading it.
CREATE TABLE attempt_log (
    run_id       uuid NOT NULL,
    task_id      text COLLATE "C" NOT NULL,
    map_index    integer NOT NULL,
    dispatch_no  integer NOT NULL,
    bytes        bigint NOT NULL CHECK (bytes >= 0),
    lines        bigint NOT NULL CHECK (lines >= 0),
    error_line   bigint,
    error_offset bigint,
    error_text   text,
    gap_from     bigint,
    gap_until    bigint,
    gap_lines    bigint,
    complete     boolean NOT NULL,
    updated_at   timestamptz NOT NULL,
    PRIMARY KEY (run_id, task_id, map_index, dispatch_no),
    CHECK ((error_line IS NULL) = (error_offset IS NULL) AND (error_line IS NULL) = (error_text IS NULL)),
    CHECK ((gap_from IS NULL) = (gap_until IS NULL) AND (gap_from IS NULL) = (gap_lines IS NULL))
) WITH (fillfactor = 70);
COMMENT ON COLUMN attempt_log.error_line IS 'The first line that says what failed, from 1.';
COMMENT ON COLUMN attempt_log.gap_from IS 'Bytes from here to gap_until were left out by the limit.';
