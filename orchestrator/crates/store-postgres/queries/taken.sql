-- taken: which of the new runs of a batch exist, by id or by key. OFFSET 0 keeps both look-ups look-ups.
SELECT k.run_id FROM unnest($1::uuid[], $2::int8[], $3::text[]) AS k(run_id, workflow_id, run_key)
WHERE EXISTS (SELECT 1 FROM run x WHERE x.run_id = k.run_id OFFSET 0)
    OR EXISTS (SELECT 1 FROM run x WHERE x.workflow_id = k.workflow_id AND x.run_key = k.run_key OFFSET 0)
