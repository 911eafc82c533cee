//! A [`Batch`] as the arguments of `queries/commit.sql`, and the look at what stood in its way if it was refused.

use std::collections::BTreeMap;

use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, Executor, Row};
use updraft_model::id::{AttemptId, MapIndex, RunId, TaskId, TaskKey, WorkerNo};
use updraft_model::record::{ClearedRow, EndedAttempt, TaskRunRow, WorkRow};
use updraft_model::state::{Cause, Place};
use updraft_model::time::Timestamp;
use updraft_store::{Batch, Committed, Expected, Pick, Refusal, RunCommit, StoreError, check};

use crate::encode::Rows;
use crate::error;
use crate::rows;

/// The hop: one statement.
pub(crate) const COMMIT: &str =
    "/* commit */ INSERT INTO temp.hop VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

/// The hop with the rows that its pick claimed.
pub(crate) const COMMIT_AND_PICK: &str = "/* commit, pick */ INSERT INTO temp.hop VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);
SELECT run_id, task_id, map_index, dispatch_no, try_no, losses, generation, place, due_at, queue, rank, worker_no, attempt_id, claimed_at, cancel_at
FROM work WHERE place = 'x' AND worker_no = $11 AND attempt_id IN (SELECT value FROM json_each($13)) ORDER BY rank, run_id, task_id, map_index";

/// What kept a batch from being written: (kind, run, task, map index).
pub(crate) const REFUSED: &str = "/* refused */
SELECT 'run' AS kind, j.value ->> 0 AS run_id, '' AS task_id, 0 AS map_index FROM json_each($3) j
    LEFT JOIN run r ON r.run_id = j.value ->> 0 WHERE r.version IS NOT j.value ->> 1 OR r.stamp IS NOT j.value ->> 2
UNION ALL SELECT 'key', n.value ->> 0, '', 0 FROM json_each($4) n
    WHERE EXISTS (SELECT 1 FROM run r WHERE r.run_id = n.value ->> 0)
       OR EXISTS (SELECT 1 FROM run r WHERE r.workflow_id = n.value ->> 12 AND r.run_key = n.value ->> 14)
UNION ALL SELECT 'fence', f.value ->> 0, f.value ->> 1, f.value ->> 2 FROM json_each($5) f
    LEFT JOIN work w ON w.run_id = f.value ->> 0 AND w.task_id = f.value ->> 1 AND w.map_index = f.value ->> 2
    WHERE w.dispatch_no IS NOT f.value ->> 3 OR w.attempt_id IS NOT f.value ->> 4
UNION ALL SELECT 'worker', '', '', 0 WHERE $11 IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM worker WHERE worker_no = $11 AND state = 'active')";

/// A batch ready to be sent; cheap to clone, because texts are shared.
#[derive(Clone)]
pub(crate) struct Encoded {
    pub(crate) arguments: SqliteArguments,
    pub(crate) picks: bool,
}

impl Encoded {
    pub(crate) fn sql(&self) -> &'static str {
        if self.picks { COMMIT_AND_PICK } else { COMMIT }
    }
}

/// Encodes a batch.
pub(crate) fn encode(batch: &Batch) -> Result<Encoded, StoreError> {
    check::batch(batch)?;
    let claims = batch.pick.as_ref().is_some_and(|pick| !pick.attempts.is_empty())
        || batch.runs.iter().any(|run| run.work.iter().any(|row| row.place == Place::Executing));
    encode_parts(&batch.runs, batch.at, claims.then_some(batch.worker_no), batch.pick.as_ref())
}

/// Encodes one run's part for a lane; no worker is asked for.
pub(crate) fn encode_lane(commit: &RunCommit, at: Timestamp) -> Result<Encoded, StoreError> {
    check::run_commit(commit)?;
    encode_parts(std::slice::from_ref(commit), at, None, None)
}

/// Encodes runs that are written under their workflow's lock; `worker` must be active.
pub(crate) fn encode_runs(
    commits: &[RunCommit],
    worker: Option<WorkerNo>,
    at: Timestamp,
) -> Result<Encoded, StoreError> {
    commits.iter().try_for_each(check::run_commit)?;
    encode_parts(commits, at, worker, None)
}

fn encode_parts(
    commits: &[RunCommit],
    at: Timestamp,
    claimer: Option<WorkerNo>,
    pick: Option<&Pick>,
) -> Result<Encoded, StoreError> {
    let mut parts = Parts::default();
    for commit in commits {
        parts.add(commit)?;
    }
    let attempts = pick.filter(|pick| !pick.attempts.is_empty()).map(|pick| {
        let ids: Vec<&AttemptId> = pick.attempts.iter().collect();
        serde_json::to_string(&ids).expect("ids are always JSON")
    });
    let mut arguments = SqliteArguments::default();
    let picks = attempts.is_some();
    let bind = || {
        arguments.add(at.as_millis())?;
        arguments.add(i64::from(parts.runs.len()))?;
        for part in [
            parts.runs,
            parts.created,
            parts.ended,
            parts.removed,
            parts.task_runs,
            parts.work,
            parts.items,
            parts.metrics,
        ] {
            arguments.add(part.finish())?;
        }
        arguments.add(claimer.map(|worker| worker.0))?;
        arguments.add(pick.map(|pick| pick.queue.clone()))?;
        arguments.add(attempts)
    };
    bind().map_err(|error| StoreError::Other(format!("a batch could not be encoded: {error}")))?;
    Ok(Encoded { arguments, picks })
}

/// The JSON documents of a batch, one a table.
struct Parts {
    runs: Rows,
    created: Rows,
    ended: Rows,
    removed: Rows,
    task_runs: Rows,
    work: Rows,
    items: Rows,
    metrics: Rows,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            runs: Rows::new(),
            created: Rows::new(),
            ended: Rows::new(),
            removed: Rows::new(),
            task_runs: Rows::new(),
            work: Rows::new(),
            items: Rows::new(),
            metrics: Rows::new(),
        }
    }
}

impl Parts {
    fn add(&mut self, commit: &RunCommit) -> Result<(), StoreError> {
        let run = commit.run_id;
        self.add_run(commit)?;
        for attempt in &commit.ended {
            self.add_ended(run, attempt);
        }
        for key in &commit.removed {
            self.removed.row().id(run.0).str(key.task.as_str()).int(key.map_index.0);
        }
        for row in &commit.task_runs {
            add_task_run(self.task_runs.row(), run, row);
        }
        for row in &commit.cleared {
            add_cleared(self.task_runs.row(), run, row);
        }
        for row in &commit.work {
            add_work(self.work.row(), row);
        }
        Ok(())
    }

    fn add_run(&mut self, commit: &RunCommit) -> Result<(), StoreError> {
        let body = serde_json::to_string(&commit.events)
            .map_err(|error| StoreError::Other(format!("events of run {}: {error}", commit.run_id)))?;
        let events = i64::try_from(commit.events.len()).unwrap_or(i64::MAX);
        let (row, facts) = match &commit.expected {
            Expected::At { version, stamp } => {
                let row = self.runs.row().id(commit.run_id.0);
                (row.int(rows::to_i64(*version)?).id(stamp.0), None)
            }
            Expected::New(facts) => (self.created.row().id(commit.run_id.0).null().null(), Some(facts)),
        };
        row.id(commit.stamp.0)
            .str(&commit.actor)
            .str(&body)
            .int(events)
            .str(commit.run.state.name())
            .opt_str(commit.run.cause.map(Cause::name))
            .int(commit.run.generation)
            .opt_at(commit.run.started_at)
            .opt_at(commit.run.ended_at);
        if let Some(facts) = facts {
            let only = check::only_of(&commit.events)
                .map(|only| serde_json::to_string(only).expect("task ids are always JSON"));
            row.int(facts.workflow_id.0)
                .int(facts.version_id.0)
                .str(&facts.run_key)
                .str(facts.trigger.name())
                .at(facts.logical_at)
                .at(facts.interval.start)
                .at(facts.interval.end)
                .str(&facts.conf)
                .str(&facts.queue)
                .int(facts.priority)
                .at(facts.created_at)
                .opt_str(only.as_deref());
        } else {
            let reopened = check::reopened_of(&commit.events);
            row.opt_int(reopened.map(|(version, _)| version.0)).opt_str(reopened.and_then(|(_, queue)| queue));
        }
        Ok(())
    }

    fn add_ended(&mut self, run: RunId, attempt: &EndedAttempt) {
        let key = &attempt.key;
        self.ended
            .row()
            .id(run.0)
            .str(key.task.as_str())
            .int(key.map_index.0)
            .int(attempt.dispatch_no)
            .id(attempt.attempt_id.0)
            .str(attempt.outcome.name())
            .str(attempt.cause.name())
            .opt_str(attempt.class.as_deref())
            .opt_str(attempt.message.as_deref())
            .opt_at(attempt.started_at)
            .opt_str(attempt.output.as_deref());
        for (seq, item) in (0_u32..).zip(&attempt.items) {
            self.items
                .row()
                .id(run.0)
                .str(key.task.as_str())
                .int(key.map_index.0)
                .int(attempt.dispatch_no)
                .int(seq)
                .str(&item.kind)
                .str(&item.name)
                .str(&item.state)
                .real(item.seconds)
                .real(item.value)
                .opt_str(item.message.as_deref());
        }
        for metric in &attempt.metrics {
            let labels: &BTreeMap<String, String> = &metric.labels;
            let labels = serde_json::to_string(labels).expect("text by text is always JSON");
            self.metrics
                .row()
                .id(run.0)
                .str(key.task.as_str())
                .str(&metric.name)
                .str(&labels)
                .real(Some(metric.value))
                .str(&metric.unit);
        }
    }
}

fn add_task_run(to: &mut Rows, run: RunId, row: &TaskRunRow) {
    to.id(run.0)
        .str(row.key.task.as_str())
        .int(row.key.map_index.0)
        .int(row.generation)
        .int(row.dispatch_no)
        .int(row.try_no)
        .int(row.losses)
        .str(row.state.name())
        .str(row.cause.name())
        .opt_at(row.started_at)
        .at(row.ended_at)
        .opt_int(row.expanded_n.map(i64::from));
}

fn add_cleared(to: &mut Rows, run: RunId, row: &ClearedRow) {
    to.id(run.0)
        .str(row.key.task.as_str())
        .int(row.key.map_index.0)
        .int(row.generation)
        .int(row.dispatch_no)
        .int(row.try_no)
        .int(0)
        .str(rows::WAITING)
        .null()
        .null()
        .null()
        .opt_int(row.expanded_n.map(i64::from));
}

fn add_work(to: &mut Rows, row: &WorkRow) {
    let dispatch = &row.dispatch;
    to.id(row.run_id.0)
        .str(dispatch.key.task.as_str())
        .int(dispatch.key.map_index.0)
        .int(dispatch.dispatch_no)
        .int(dispatch.try_no)
        .int(dispatch.losses)
        .int(dispatch.generation)
        .str(row.place.name())
        .opt_at(row.due_at)
        .str(&row.queue)
        .int(row.rank)
        .opt_int(row.worker_no.map(|worker| worker.0))
        .opt_id(row.attempt_id.map(|attempt| attempt.0))
        .opt_at(row.claimed_at)
        .opt_at(row.cancel_at);
}

/// Says what stood in the way of a refused batch. Runs on the writer right after the refusal, so nothing has changed.
pub(crate) async fn refusal(
    connection: &mut SqliteConnection,
    arguments: SqliteArguments,
) -> Result<Committed, StoreError> {
    let found =
        connection.fetch_all(sqlx::query_with(REFUSED, arguments)).await.map_err(|error| error::plain(&error))?;
    let mut runs: BTreeMap<RunId, Refusal> = BTreeMap::new();
    let mut worker_inactive = false;
    for row in &found {
        let kind: String = cell(row, 0)?;
        if kind == "worker" {
            worker_inactive = true;
            continue;
        }
        let run = RunId(rows::uuid(&cell::<String>(row, 1)?, "run", "run_id")?);
        match kind.as_str() {
            "run" => {
                runs.insert(run, Refusal::Contended);
            }
            "key" => {
                runs.insert(run, Refusal::KeyTaken);
            }
            // A stale run shows up here too: what was said about the run itself decides.
            _ => {
                let key = TaskKey { task: TaskId::from(cell::<String>(row, 2)?), map_index: MapIndex(cell(row, 3)?) };
                if let Refusal::Fenced(keys) = runs.entry(run).or_insert_with(|| Refusal::Fenced(Vec::new())) {
                    keys.push(key);
                }
            }
        }
    }
    if runs.is_empty() && !worker_inactive {
        return Err(StoreError::Other("a batch was refused, but nothing stands in its way".to_owned()));
    }
    Ok(Committed::Refused { runs: runs.into_iter().collect(), worker_inactive })
}

fn cell<'r, T>(row: &'r SqliteRow, at: usize) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(at).map_err(|error| error::plain(&error))
}
