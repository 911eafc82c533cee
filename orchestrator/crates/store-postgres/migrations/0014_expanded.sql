-- Mapped tasks: how many instances one has. Its row is there from its expansion on, waiting also in generation 0.
ALTER TABLE task_run
    ADD COLUMN expanded_n integer CHECK (expanded_n >= 0),
    DROP CONSTRAINT task_run_waiting_check,
    ADD CONSTRAINT task_run_waiting_check CHECK (
        (state = 'waiting') = (ended_at IS NULL) AND (state = 'waiting') = (cause IS NULL)
        AND (state <> 'waiting'
            OR (started_at IS NULL AND losses = 0 AND (generation > 0 OR expanded_n IS NOT NULL))));
COMMENT ON COLUMN task_run.expanded_n IS 'How many instances a mapped task has.';
