-- lock_worker: the heartbeat session's lock is the evidence that its process lives (F35). No hashing: the class is this
-- schema, the object is the worker, so that two installations in one database never meet.
SELECT pg_try_advisory_lock(current_schema()::regnamespace::oid::int4, $1::int4)
