-- Schedules: when each workflow fires next, what is remembered of its fires, and what did not become a run.
ALTER TABLE workflow
    ADD COLUMN source          text NOT NULL DEFAULT '',
    ADD COLUMN max_active_runs int NOT NULL DEFAULT 16 CHECK (max_active_runs >= 1),
    ADD COLUMN paused          boolean NOT NULL DEFAULT false,
    ADD COLUMN paused_at       timestamptz,
    ADD COLUMN paused_by       text,
    ADD COLUMN paused_reason   text,
    ADD COLUMN retired_at      timestamptz;
COMMENT ON COLUMN workflow.source IS 'Id of the folder that published it last.';
COMMENT ON COLUMN workflow.retired_at IS 'Its file is gone.';

ALTER TABLE workflow_version ADD COLUMN source_id text NOT NULL DEFAULT '';
COMMENT ON COLUMN workflow_version.source_id IS 'Id of the folder that it came from first.';

-- One row per workflow with a schedule. next_fire_at is null while it is paused, retired, over, or in error.
CREATE TABLE schedule (
    workflow_id  bigint NOT NULL PRIMARY KEY,
    version_id   bigint NOT NULL,
    progress     text NOT NULL,
    cursor_at    timestamptz NOT NULL,
    next_fire_at timestamptz,
    below        int CHECK (below >= 1),
    skipped      bigint NOT NULL DEFAULT 0 CHECK (skipped >= 0),
    error        text,
    updated_at   timestamptz NOT NULL,
    CHECK (error IS NULL OR next_fire_at IS NULL)
) WITH (fillfactor = 70);
COMMENT ON COLUMN schedule.version_id IS 'The version whose schedule it is, and that its runs get.';
COMMENT ON COLUMN schedule.progress IS 'JSON: updraft_model::schedule::plan::Progress.';
COMMENT ON COLUMN schedule.cursor_at IS 'Fires up to here are decided.';
COMMENT ON COLUMN schedule.below IS 'Look again as soon as fewer runs than this are open.';
COMMENT ON COLUMN schedule.skipped IS 'Fires that did not become runs, ever.';
COMMENT ON COLUMN schedule.error IS 'Why it cannot be computed; it is not looked at until it is published anew.';

CREATE INDEX schedule_due ON schedule (next_fire_at, workflow_id) WHERE next_fire_at IS NOT NULL;
CREATE INDEX schedule_below ON schedule (workflow_id, below) WHERE below IS NOT NULL;

-- Fires in a row that did not become runs.
CREATE TABLE skipped_fire (
    skip_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workflow_id bigint NOT NULL,
    from_at     timestamptz NOT NULL,
    until_at    timestamptz NOT NULL,
    count       bigint NOT NULL CHECK (count >= 1),
    reason      text NOT NULL CHECK (reason IN ('catchup', 'catchup_limit', 'overlap', 'backlog', 'edited')),
    at          timestamptz NOT NULL,
    CHECK (from_at <= until_at)
);
CREATE INDEX skipped_fire_of_workflow ON skipped_fire (workflow_id, skip_id);
CREATE INDEX skipped_fire_at ON skipped_fire (at);

-- How the files of workflow folders stand.
CREATE TABLE source_file (
    source      text COLLATE "C" NOT NULL,
    folder      text COLLATE "C" NOT NULL,
    path        text COLLATE "C" NOT NULL,
    workflow    text COLLATE "C",
    sha256      text NOT NULL,
    diagnostics text NOT NULL,
    broken      boolean NOT NULL,
    since       timestamptz NOT NULL,
    PRIMARY KEY (source, folder, path)
) WITH (fillfactor = 70);
COMMENT ON COLUMN source_file.source IS 'Id of the folder''s owner.';
COMMENT ON COLUMN source_file.workflow IS 'The one it defines, if that can be told.';
CREATE INDEX source_file_broken ON source_file (source, path) WHERE broken;
