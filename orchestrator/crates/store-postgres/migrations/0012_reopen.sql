-- Task runs that begin anew: state `waiting`, without an end and a cause.
ALTER TABLE task_run
    ALTER COLUMN cause DROP NOT NULL,
    ALTER COLUMN ended_at DROP NOT NULL,
    DROP CONSTRAINT task_run_state_check,
    ADD CONSTRAINT task_run_state_check CHECK (
        state IN ('waiting', 'succeeded', 'failed', 'skipped', 'upstream_failed', 'cancelled', 'removed')),
    ADD CONSTRAINT task_run_waiting_check CHECK (
        (state = 'waiting') = (ended_at IS NULL) AND (state = 'waiting') = (cause IS NULL)
        AND (state <> 'waiting' OR (started_at IS NULL AND losses = 0 AND generation > 0)));
COMMENT ON COLUMN task_run.state IS
    'How it ended; waiting = it begins anew in a generation after the first, and what is dispatched since stands in work.';
