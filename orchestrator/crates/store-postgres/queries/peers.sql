-- peers: every worker that matters, with the evidence that its heartbeat session lives (F35).
SELECT w.worker_no, w.name, w.host, w.pid, w.build, w.queues, w.slots, w.state, w.lease_until,
    CASE WHEN w.lock_no IS NOT NULL THEN EXISTS (
        SELECT 1 FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND l.classid = current_schema()::regnamespace::oid AND l.objid = w.lock_no::oid) END,
    (SELECT count(*) FROM work x WHERE x.worker_no = w.worker_no AND x.place = 'x'), clock_timestamp()
FROM (
    SELECT worker_no FROM worker WHERE state IN ('active', 'draining', 'suspect')
    UNION SELECT worker_no FROM work WHERE place = 'x'
) serving CROSS JOIN LATERAL (SELECT * FROM worker one WHERE one.worker_no = serving.worker_no OFFSET 0) w
ORDER BY w.worker_no
