-- hold: a lane that clears or marks keeps claims and timers away from the run's rows. Before the run is loaded, whose
-- snapshot then sees the claims that this one waited for.
SELECT 1 FROM work WHERE run_id = $1 ORDER BY task_id, map_index FOR UPDATE
