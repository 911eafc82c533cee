//! The statements of the store that are neither a batch nor a lane nor a load. What writes returns a row for each row
//! written, so that an idle request is not counted as a commit.

/// $1 worker, $2 queue, $3 attempt ids, $4 now.
pub(crate) const CLAIM: &str = "/* claim */ UPDATE work SET place = 'x', worker_no = $1, claimed_at = $4, attempt_id = n.attempt_id \
FROM (SELECT p.run_id, p.task_id, p.map_index, \
    $3 ->> (row_number() OVER (ORDER BY p.rank, p.run_id, p.task_id, p.map_index) - 1) AS attempt_id \
  FROM (SELECT run_id, task_id, map_index, rank FROM work WHERE place = 'r' AND queue = $2 \
    AND EXISTS (SELECT 1 FROM worker WHERE worker_no = $1 AND state = 'active') \
    ORDER BY rank, run_id, task_id, map_index LIMIT json_array_length($3)) p) n \
WHERE work.run_id = n.run_id AND work.task_id = n.task_id AND work.map_index = n.map_index \
RETURNING run_id, task_id, map_index, dispatch_no, try_no, losses, generation, place, due_at, queue, rank, worker_no, \
attempt_id, claimed_at, cancel_at";

/// $1 now, $2 limit.
pub(crate) const DUE: &str = "/* due */ UPDATE work SET place = 'r', due_at = NULL WHERE (run_id, task_id, map_index) IN \
(SELECT run_id, task_id, map_index FROM work INDEXED BY work_due \
 WHERE place IN ('t', 'p') AND place = 't' AND due_at <= $1 ORDER BY due_at LIMIT $2) RETURNING queue";

pub(crate) const OUTCOME: &str =
    "/* outcome */ SELECT 1 FROM run_log WHERE run_id = $1 AND version = $2 AND stamp = $3";

pub(crate) const REGISTER: &str = "/* register */ INSERT INTO worker (name, host, pid, build, queues, slots, state, lock_no, lease_until) \
VALUES ($1, $2, $3, $4, $5, $6, 'active', NULL, $7) RETURNING worker_no";

pub(crate) const RENEW: &str = "/* renew */ UPDATE worker SET lease_until = $2, \
state = CASE state WHEN 'suspect' THEN 'active' ELSE state END \
WHERE worker_no = $1 AND state IN ('active', 'draining', 'suspect') RETURNING worker_no";

pub(crate) const OWN_ROWS: &str = "/* own rows */ SELECT run_id, task_id, map_index, dispatch_no, try_no, losses, generation, \
place, due_at, queue, rank, worker_no, attempt_id, claimed_at, cancel_at FROM work WHERE place = 'x' AND worker_no = $1";

pub(crate) const LEAVE: &str = "/* leave */ UPDATE worker SET state = 'gone' \
WHERE worker_no = $1 AND state IN ('active', 'draining', 'suspect') RETURNING worker_no";

pub(crate) const PEERS: &str = "/* peers */ SELECT worker_no, name, host, pid, build, queues, slots, state, lease_until, \
(SELECT count(*) FROM work x WHERE x.place = 'x' AND x.worker_no = worker.worker_no) AS busy FROM worker \
WHERE worker_no IN (SELECT worker_no FROM worker WHERE state IN ('active', 'draining', 'suspect') \
    UNION SELECT worker_no FROM work WHERE place = 'x') ORDER BY worker_no";

/// $1 worker, $2 state and $3 lease as they were seen.
pub(crate) const SUSPECT: &str = "/* suspect */ UPDATE worker SET state = 'suspect' \
WHERE worker_no = $1 AND state = $2 AND lease_until = $3 AND state IN ('active', 'draining') RETURNING worker_no";

/// $1 worker, $2 state and $3 lease as they were seen.
pub(crate) const CONDEMN: &str = "/* condemn */ UPDATE worker SET state = 'dead' \
WHERE worker_no = $1 AND state = $2 AND lease_until = $3 RETURNING worker_no";

/// $1 queues.
pub(crate) const NEXT_DUE: &str = "/* next due */ SELECT \
(SELECT min(due_at) FROM work WHERE place IN ('t', 'p') AND place = 't'), \
(SELECT min((SELECT rank FROM work WHERE place = 'r' AND queue = q.value ORDER BY rank LIMIT 1)) FROM json_each($1) q)";

/// A script: one row for each row written, and a last one with the numbers.
pub(crate) const PUBLISH: &str = "/* publish */ \
INSERT INTO workflow (name, created_at) VALUES ($1, $6) ON CONFLICT (name) DO NOTHING RETURNING workflow_id, workflow_id; \
INSERT INTO workflow_version (workflow_id, sha256, source, path, compiled, created_at) \
SELECT workflow_id, $2, $3, $4, $5, $6 FROM workflow WHERE name = $1 \
ON CONFLICT (workflow_id, sha256) DO NOTHING RETURNING workflow_id, version_id; \
UPDATE workflow SET current_version_id = v.version_id FROM workflow_version v \
WHERE workflow.name = $1 AND v.workflow_id = workflow.workflow_id AND v.sha256 = $2 \
AND workflow.current_version_id IS NOT v.version_id RETURNING workflow_id, current_version_id; \
SELECT w.workflow_id, v.version_id FROM workflow w JOIN workflow_version v ON v.workflow_id = w.workflow_id AND v.sha256 = $2 \
WHERE w.name = $1";

/// Put once: a value that is there stands, and is the answer. $7 is the attempt that must execute the task run.
pub(crate) const PUT_TASK_STATE: &str = "/* put task state */ INSERT INTO task_state (run_id, task_id, map_index, generation, name, value) \
SELECT $1, $2, $3, $4, $5, $6 FROM work \
WHERE run_id = $1 AND task_id = $2 AND map_index = $3 AND generation = $4 AND place = 'x' AND attempt_id = $7 \
ON CONFLICT (run_id, task_id, map_index, generation, name) DO UPDATE SET value = task_state.value \
RETURNING value";

pub(crate) const TASK_STATE: &str = "/* task state */ SELECT value FROM task_state \
WHERE run_id = $1 AND task_id = $2 AND map_index = $3 AND generation = $4 AND name = $5";

pub(crate) const SHARED_STATE: &str =
    "/* shared state */ SELECT value, version FROM shared_state WHERE scope = $1 AND key = $2";

/// $4 is zero here: the value must not exist.
pub(crate) const NEW_SHARED_STATE: &str = "/* new shared state */ INSERT INTO shared_state (scope, key, value, version, updated_at) \
VALUES ($1, $2, $3, $4 + 1, $5) ON CONFLICT (scope, key) DO NOTHING RETURNING version";

pub(crate) const SET_SHARED_STATE: &str = "/* set shared state */ UPDATE shared_state SET value = $3, version = version + 1, updated_at = $5 \
WHERE scope = $1 AND key = $2 AND version = $4 RETURNING version";

pub(crate) const BARE_COMMIT: &str = "/* bare commit */ INSERT INTO bench_commit (v) VALUES ($1)";

pub(crate) const DURABLE: &str =
    "/* durable */ SELECT synchronous, journal_mode FROM pragma_synchronous, pragma_journal_mode";
