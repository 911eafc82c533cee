//! A lane: load one run on the writing connection, let the model decide, write; all inside the caller's transaction.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sqlx::sqlite::SqliteConnection;
use sqlx::{Arguments, Executor};
use updraft_model::id::RunId;
use updraft_model::record::WorkRow;
use updraft_model::state::Place;
use updraft_model::time::Timestamp;
use updraft_store::{Committed, Expected, Lane, LaneFn, LaneOutcome, Locked, Refusal, StoreError, Wake, check};

use crate::{batch, error, load, rows};

pub(crate) const CANCEL: &str = "/* lane cancel */ DELETE FROM work WHERE run_id = $1 AND place <> 'x' \
RETURNING run_id, task_id, map_index, dispatch_no, try_no, losses, generation, place, due_at, queue, rank, worker_no, \
attempt_id, claimed_at, cancel_at; \
UPDATE work SET cancel_at = ifnull(cancel_at, $2) WHERE run_id = $1 AND place = 'x' \
RETURNING run_id, task_id, map_index, dispatch_no, try_no, losses, generation, place, due_at, queue, rank, worker_no, \
attempt_id, claimed_at, cancel_at";

/// What is asked of a lane.
pub(crate) struct Asked {
    pub(crate) run: RunId,
    pub(crate) lane: Lane,
    pub(crate) at: Timestamp,
    pub(crate) decide: LaneFn,
}

/// What it did. Only [`LaneOutcome::Applied`] may be committed.
pub(crate) struct Did {
    pub(crate) outcome: LaneOutcome,
    pub(crate) wakes: Vec<Wake>,
}

impl Did {
    fn nothing(outcome: LaneOutcome) -> Self {
        Self { outcome, wakes: Vec::new() }
    }
}

/// Carries a lane out, inside a transaction.
pub(crate) async fn perform(connection: &mut SqliteConnection, asked: Asked) -> Result<Did, StoreError> {
    let Asked { run, lane, at, decide } = asked;
    let Some(loaded) = load::full(connection, run).await? else { return Ok(Did::nothing(LaneOutcome::Missing)) };
    let (version, stamp) = (loaded.row.version, loaded.row.stamp);
    let executing_now = || loaded.work.iter().filter(|row| row.place == Place::Executing).cloned();
    let (removed, executing): (Vec<WorkRow>, Vec<WorkRow>) = match lane {
        Lane::Plain | Lane::Clear => (Vec::new(), executing_now().collect()),
        Lane::Reap(worker) => (Vec::new(), executing_now().filter(|row| row.worker_no == Some(worker)).collect()),
        Lane::Cancel => cancel(connection, run, at).await?,
    };
    let mut wakes: Vec<Wake> = match lane {
        Lane::Plain | Lane::Reap(_) | Lane::Clear => Vec::new(),
        Lane::Cancel => executing.iter().filter_map(|row| row.worker_no).map(Wake::Cancel).collect(),
    };
    let held = if lane == Lane::Clear { executing.clone() } else { Vec::new() };
    let room = match lane {
        Lane::Clear => crate::scheduling::room(connection, loaded.row.facts.workflow_id).await?,
        Lane::Plain | Lane::Reap(_) | Lane::Cancel => None,
    };
    let locked = Locked { run: loaded, removed, executing, room };
    // A panic of the decision must not take the writer with it.
    let decided = catch_unwind(AssertUnwindSafe(|| decide(locked)))
        .map_err(|panic| StoreError::Other(format!("the decision for run {run} panicked: {}", panic_text(&*panic))))?;
    let Some(commit) = decided else { return Ok(Did::nothing(LaneOutcome::Nothing)) };
    if commit.run_id != run || commit.expected != (Expected::At { version, stamp }) {
        return Err(StoreError::Conflict(format!("the decision for run {run} is not about its version {version}")));
    }
    wakes.extend(check::stopped_by(&commit, &held));
    wakes.extend(commit.work.iter().filter(|row| row.place == Place::Ready).map(|row| Wake::Queue(row.queue.clone())));
    wakes.push(Wake::Run(run));
    wakes.dedup();
    let encoded = batch::encode_lane(&commit, at)?;
    match connection.execute(sqlx::query_with(encoded.sql(), encoded.arguments.clone())).await {
        Ok(_) => Ok(Did { outcome: LaneOutcome::Applied, wakes }),
        Err(refused) if error::is_refusal(&refused) => {
            let Committed::Refused { runs, .. } = batch::refusal(connection, encoded.arguments).await? else {
                return Err(StoreError::Other(format!("run {run}: a lane was refused for no reason")));
            };
            match runs.into_iter().next() {
                Some((_, Refusal::Fenced(keys))) => Ok(Did::nothing(LaneOutcome::Fenced(keys))),
                Some((_, Refusal::Contended | Refusal::KeyTaken)) | None => {
                    Err(StoreError::Conflict(format!("run {run} changed under its own lock")))
                }
            }
        }
        Err(failed) => Err(error::of_write(&failed)),
    }
}

/// Deletes what waits, flags what executes.
async fn cancel(
    connection: &mut SqliteConnection,
    run: RunId,
    at: Timestamp,
) -> Result<(Vec<WorkRow>, Vec<WorkRow>), StoreError> {
    let arguments = load::arguments(|a| {
        a.add(run.to_string())?;
        a.add(at.as_millis())
    })?;
    let found = load::fetch(connection, CANCEL, arguments).await?;
    let mut all = found.iter().map(rows::work).collect::<Result<Vec<_>, _>>()?;
    all.sort_by(|a, b| a.dispatch.key.cmp(&b.dispatch.key));
    Ok(all.into_iter().partition(|row| row.place != Place::Executing))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
