-- lock_workflow: a clearing lane counts the runs of its workflow: it waits for that one before it waits for its run.
SELECT max_active_runs FROM workflow WHERE workflow_id = (SELECT workflow_id FROM run WHERE run_id = $1) FOR NO KEY UPDATE
