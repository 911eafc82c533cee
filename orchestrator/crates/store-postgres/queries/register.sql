-- register: a new worker incarnation with its first lease.
INSERT INTO worker (name, host, pid, build, queues, slots, state, lease_until)
VALUES ($1, $2, $3, $4, $5, $6, 'active', date_trunc('milliseconds', clock_timestamp()) + interval '40 s')
RETURNING worker_no
