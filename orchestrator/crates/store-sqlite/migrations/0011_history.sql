-- What lists and pages of history need. An index costs a write when a run is made or ends, or where something failed,
-- waited, was lost or was tried again; none is touched by an ordinary hop.
ALTER TABLE attempt ADD COLUMN ready_at INTEGER; -- from when on it could be taken; null: written by an older build

CREATE INDEX run_by_created_at ON run (created_at, run_id);
CREATE INDEX run_of_workflow_by_created_at ON run (workflow_id, created_at, run_id, version_id);
CREATE INDEX run_by_logical ON run (logical_at, run_id);
CREATE INDEX run_by_ended_at ON run (ended_at, run_id, state) WHERE ended_at IS NOT NULL;
CREATE INDEX run_of_workflow_by_ended_at ON run (workflow_id, ended_at, run_id, state) WHERE ended_at IS NOT NULL;
CREATE INDEX run_over_by_state ON run (state, created_at, run_id) WHERE ended_at IS NOT NULL;
CREATE INDEX run_of_workflow_over_by_state ON run (workflow_id, state, created_at, run_id, started_at, ended_at)
    WHERE ended_at IS NOT NULL;

CREATE INDEX task_run_failed ON task_run (run_id) WHERE state = 'failed';
CREATE INDEX task_run_failed_at ON task_run (ended_at, run_id) WHERE state = 'failed';
CREATE INDEX task_run_again ON task_run (run_id, dispatch_no) WHERE dispatch_no > 1;
CREATE INDEX attempt_waited ON attempt (run_id, task_id, map_index, claimed_at, ready_at) WHERE claimed_at - ready_at >= 1000;
CREATE INDEX attempt_lost ON attempt (ended_at) WHERE outcome = 'lost';

-- What lists say of a version, beside its long texts. Made with it and never changed.
CREATE TABLE version_facts (
    version_id  INTEGER PRIMARY KEY,
    workflow_id INTEGER NOT NULL,
    number      INTEGER NOT NULL CHECK (number >= 1), -- in its workflow
    tasks       INTEGER NOT NULL,
    sha256      TEXT NOT NULL,
    path        TEXT NOT NULL,
    description TEXT,
    owner       TEXT,
    tags        TEXT NOT NULL -- JSON list
) STRICT;

CREATE INDEX version_facts_of_workflow ON version_facts (workflow_id, number);

CREATE TRIGGER version_published AFTER INSERT ON workflow_version BEGIN
    INSERT INTO version_facts (version_id, workflow_id, number, tasks, sha256, path, description, owner, tags)
    SELECT NEW.version_id, NEW.workflow_id,
        1 + ifnull((SELECT max(number) FROM version_facts WHERE workflow_id = NEW.workflow_id), 0),
        ifnull(json_array_length(NEW.compiled, '$.tasks'), 0), NEW.sha256, NEW.path,
        NEW.compiled ->> '$.description', NEW.compiled ->> '$.owner', ifnull(NEW.compiled -> '$.tags', '[]');
END;

INSERT INTO version_facts (version_id, workflow_id, number, tasks, sha256, path, description, owner, tags)
SELECT version_id, workflow_id, row_number() OVER (PARTITION BY workflow_id ORDER BY version_id),
    ifnull(json_array_length(compiled, '$.tasks'), 0), sha256, path,
    compiled ->> '$.description', compiled ->> '$.owner', ifnull(compiled -> '$.tags', '[]')
FROM workflow_version;

CREATE TABLE run_note (
    run_id TEXT NOT NULL PRIMARY KEY CHECK (length(run_id) = 36),
    note   TEXT NOT NULL CHECK (note <> '' AND octet_length(note) <= 4096),
    by     TEXT NOT NULL,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
