-- What lists and pages of history need. An index costs a write when a run is made or ends, or where something failed,
-- waited, was lost or was tried again; none names a column that an ordinary hop changes, so those stay heap-only.
ALTER TABLE attempt ADD COLUMN ready_at timestamptz;
COMMENT ON COLUMN attempt.ready_at IS 'From when on it could be taken; null: written by an older build.';

CREATE INDEX run_by_created_at ON run (created_at);
CREATE INDEX run_of_workflow_by_created_at ON run (workflow_id, created_at);
CREATE INDEX run_by_logical ON run (logical_at);
CREATE INDEX run_by_ended_at ON run (ended_at, state) WHERE ended_at IS NOT NULL;
CREATE INDEX run_of_workflow_by_ended_at ON run (workflow_id, ended_at, state) WHERE ended_at IS NOT NULL;
CREATE INDEX run_over_by_state ON run (state, created_at) WHERE ended_at IS NOT NULL;
CREATE INDEX run_of_workflow_over_by_state ON run (workflow_id, state, created_at, started_at, ended_at)
    WHERE ended_at IS NOT NULL;

CREATE INDEX task_run_failed ON task_run (run_id) WHERE state = 'failed';
CREATE INDEX task_run_failed_at ON task_run (ended_at) WHERE state = 'failed';
CREATE INDEX task_run_again ON task_run (run_id, dispatch_no) WHERE dispatch_no > 1;
CREATE INDEX attempt_waited ON attempt (run_id) WHERE claimed_at - ready_at >= interval '1 second';
CREATE INDEX attempt_lost ON attempt (ended_at) WHERE outcome = 'lost';

-- Milliseconds since 1970, for text that the statements of history put together.
CREATE FUNCTION ms(at timestamptz) RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (extract(epoch FROM at) * 1000)::bigint;

-- What lists say of a version, beside its long texts. Made with it and never changed.
CREATE TABLE version_facts (
    version_id  bigint NOT NULL PRIMARY KEY,
    workflow_id bigint NOT NULL,
    number      integer NOT NULL CHECK (number >= 1),
    tasks       integer NOT NULL,
    sha256      text NOT NULL,
    path        text NOT NULL,
    description text,
    owner       text,
    tags        text NOT NULL
);
COMMENT ON COLUMN version_facts.number IS 'In its workflow, from 1.';
COMMENT ON COLUMN version_facts.tags IS 'JSON list.';
CREATE INDEX version_facts_of_workflow ON version_facts (workflow_id, number);

CREATE FUNCTION note_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO version_facts (version_id, workflow_id, number, tasks, sha256, path, description, owner, tags)
    SELECT NEW.version_id, NEW.workflow_id,
        1 + coalesce((SELECT max(number) FROM version_facts WHERE workflow_id = NEW.workflow_id), 0),
        CASE json_typeof(c -> 'tasks') WHEN 'array' THEN json_array_length(c -> 'tasks') ELSE 0 END, NEW.sha256, NEW.path,
        c ->> 'description', c ->> 'owner', coalesce((c -> 'tags')::text, '[]')
    FROM (SELECT NEW.compiled::json AS c) compiled;
    RETURN NULL;
END $$;

CREATE TRIGGER version_published AFTER INSERT ON workflow_version FOR EACH ROW EXECUTE FUNCTION note_version();

INSERT INTO version_facts (version_id, workflow_id, number, tasks, sha256, path, description, owner, tags)
SELECT version_id, workflow_id, row_number() OVER (PARTITION BY workflow_id ORDER BY version_id),
    CASE json_typeof(compiled::json -> 'tasks') WHEN 'array' THEN json_array_length(compiled::json -> 'tasks') ELSE 0 END,
    sha256, path, compiled::json ->> 'description', compiled::json ->> 'owner', coalesce((compiled::json -> 'tags')::text, '[]')
FROM workflow_version;

CREATE TABLE run_note (
    run_id uuid NOT NULL PRIMARY KEY,
    note   text NOT NULL CHECK (note <> '' AND octet_length(note) <= 4096),
    by     text NOT NULL,
    at     timestamptz NOT NULL
);

-- Last again, so that the planner meets them first (see 0002_runs.sql): a run is looked up by its keys, whenever the plan is made.
ALTER TABLE run DROP CONSTRAINT run_workflow_id_run_key_key;
ALTER TABLE run ADD UNIQUE (workflow_id, run_key);
ALTER TABLE run DROP CONSTRAINT run_pkey;
ALTER TABLE run ADD PRIMARY KEY (run_id);
