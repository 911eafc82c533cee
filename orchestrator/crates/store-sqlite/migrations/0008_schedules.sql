-- Schedules: when each workflow fires next, what is remembered of its fires, and what did not become a run.
ALTER TABLE workflow ADD COLUMN source TEXT NOT NULL DEFAULT ''; -- id of the folder that published it last
ALTER TABLE workflow ADD COLUMN max_active_runs INTEGER NOT NULL DEFAULT 16 CHECK (max_active_runs >= 1);
ALTER TABLE workflow ADD COLUMN paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1));
ALTER TABLE workflow ADD COLUMN paused_at INTEGER;
ALTER TABLE workflow ADD COLUMN paused_by TEXT;
ALTER TABLE workflow ADD COLUMN paused_reason TEXT;
ALTER TABLE workflow ADD COLUMN retired_at INTEGER; -- its file is gone

ALTER TABLE workflow_version ADD COLUMN source_id TEXT NOT NULL DEFAULT ''; -- id of the folder that it came from first

-- One row per workflow with a schedule. next_fire_at is null while it is paused, retired, over, or in error.
CREATE TABLE schedule (
    workflow_id  INTEGER NOT NULL PRIMARY KEY,
    version_id   INTEGER NOT NULL, -- the version whose schedule it is, and that its runs get
    progress     TEXT NOT NULL, -- JSON: updraft_model::schedule::plan::Progress
    cursor_at    INTEGER NOT NULL, -- fires up to here are decided
    next_fire_at INTEGER, -- look again then
    below        INTEGER CHECK (below >= 1), -- look again as soon as fewer runs than this are open
    skipped      INTEGER NOT NULL DEFAULT 0 CHECK (skipped >= 0), -- fires that did not become runs, ever
    error        TEXT, -- why it cannot be computed; it is not looked at until it is published anew
    updated_at   INTEGER NOT NULL,
    CHECK (error IS NULL OR next_fire_at IS NULL)
) STRICT;

CREATE INDEX schedule_due ON schedule (next_fire_at, workflow_id) WHERE next_fire_at IS NOT NULL;
CREATE INDEX schedule_below ON schedule (workflow_id, below) WHERE below IS NOT NULL;

-- Fires in a row that did not become runs.
CREATE TABLE skipped_fire (
    skip_id     INTEGER PRIMARY KEY,
    workflow_id INTEGER NOT NULL,
    from_at     INTEGER NOT NULL,
    until_at    INTEGER NOT NULL,
    count       INTEGER NOT NULL CHECK (count >= 1),
    reason      TEXT NOT NULL CHECK (reason IN ('catchup', 'catchup_limit', 'overlap', 'backlog', 'edited')),
    at          INTEGER NOT NULL,
    CHECK (from_at <= until_at)
) STRICT;

CREATE INDEX skipped_fire_of_workflow ON skipped_fire (workflow_id, skip_id);
CREATE INDEX skipped_fire_at ON skipped_fire (at);

-- How the files of workflow folders stand.
CREATE TABLE source_file (
    source      TEXT NOT NULL, -- id of the folder's owner
    folder      TEXT NOT NULL,
    path        TEXT NOT NULL,
    workflow    TEXT, -- the one it defines, if that can be told
    sha256      TEXT NOT NULL,
    diagnostics TEXT NOT NULL, -- JSON
    broken      INTEGER NOT NULL CHECK (broken IN (0, 1)),
    since       INTEGER NOT NULL,
    PRIMARY KEY (source, folder, path)
) STRICT, WITHOUT ROWID;

CREATE INDEX source_file_broken ON source_file (source, path) WHERE broken = 1;
