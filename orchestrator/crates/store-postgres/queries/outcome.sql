-- outcome: whether a commit whose answer was lost was applied (F8).
SELECT EXISTS (SELECT 1 FROM run_log WHERE run_id = $1 AND version = $2 AND stamp = $3)
