-- suspect: no sign of a worker's life; it gets no more work until it beats again (F34).
UPDATE worker SET state = 'suspect'
WHERE worker_no = $1 AND state = $2 AND lease_until = $3 AND state IN ('active', 'draining')
