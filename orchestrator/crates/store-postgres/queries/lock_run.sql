-- lock_run: a lane waits here, and nowhere else, for its one run.
SELECT 1 FROM run WHERE run_id = $1 FOR NO KEY UPDATE
