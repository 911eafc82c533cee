//! What is done inside the writer's transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use sqlx::sqlite::SqliteConnection;
use sqlx::{Arguments, Executor};
use updraft_model::id::{WorkerNo, WorkflowId};
use updraft_model::schedule::plan::{Load, Next, Room, Skipped};
use updraft_model::state::Place;
use updraft_model::time::Timestamp;
use updraft_store::scheduling::{
    AdmitFn, Admitted, DueSchedule, FireDecision, FireFn, Fired, ScheduledVersion, StartFn, StartedRuns, resumed,
    synced,
};
use updraft_store::{Committed, Published, Refusal, RunCommit, StoreError};

use super::{rows, sql};
use crate::encode::Rows;
use crate::load::{arguments, fetch};
use crate::{batch, error, load};

fn panicked<T>(made: std::thread::Result<T>) -> Result<T, StoreError> {
    made.map_err(|_| StoreError::Other("a decision about a schedule panicked".to_owned()))
}

fn ready_queues(commits: &[RunCommit]) -> BTreeSet<String> {
    let rows = commits.iter().flat_map(|commit| &commit.work);
    rows.filter(|row| row.place == Place::Ready).map(|row| row.queue.clone()).collect()
}

/// How busy these workflows are.
async fn loads(
    connection: &mut SqliteConnection,
    workflows: &[WorkflowId],
) -> Result<BTreeMap<WorkflowId, Load>, StoreError> {
    let ids = ids(workflows);
    let found = fetch(connection, sql::LOADS, arguments(|a| a.add(ids))?).await?;
    let mut loads: BTreeMap<WorkflowId, Load> = BTreeMap::new();
    for row in &found {
        rows::add_load(&mut loads, row)?;
    }
    Ok(loads)
}

/// How busy a workflow is, beside its limit.
pub(crate) async fn room(connection: &mut SqliteConnection, workflow: WorkflowId) -> Result<Option<Room>, StoreError> {
    let limit = fetch(connection, sql::LIMIT, arguments(|a| a.add(workflow.0))?).await?;
    let Some(limit) = limit.first() else { return Ok(None) };
    let limit = rows::number(limit, 0)?;
    let load = loads(connection, &[workflow]).await?.get(&workflow).copied().unwrap_or_default();
    Ok(Some(Room { load, limit }))
}

pub(super) fn ids(workflows: &[WorkflowId]) -> String {
    let mut rows = Rows::new();
    for workflow in workflows {
        rows.row().int(workflow.0);
    }
    rows.finish().unwrap_or_else(|| "[]".to_owned())
}

/// Leaves out new runs whose key is taken; says which queues got ready work, and how many runs were made.
async fn create(
    connection: &mut SqliteConnection,
    commits: Vec<RunCommit>,
    at: Timestamp,
) -> Result<(BTreeSet<String>, u32), StoreError> {
    let mut keys = Rows::new();
    for (index, commit) in commits.iter().enumerate() {
        if let updraft_store::Expected::New(facts) = &commit.expected {
            let index = i64::try_from(index).unwrap_or(i64::MAX);
            keys.row().int(index).int(facts.workflow_id.0).str(&facts.run_key);
        }
    }
    let keys = keys.finish();
    let found = fetch(connection, sql::TAKEN, arguments(|a| a.add(keys))?).await?;
    let mut taken = BTreeSet::new();
    for row in &found {
        let index: i64 = rows::cell(row, 0)?;
        taken.insert(usize::try_from(index).unwrap_or(usize::MAX));
    }
    let fresh: Vec<RunCommit> =
        commits.into_iter().enumerate().filter(|(index, _)| !taken.contains(index)).map(|(_, commit)| commit).collect();
    write(connection, &fresh, at).await?;
    Ok((ready_queues(&fresh), u32::try_from(fresh.len()).unwrap_or(u32::MAX)))
}

/// Writes runs.
async fn write(connection: &mut SqliteConnection, commits: &[RunCommit], at: Timestamp) -> Result<(), StoreError> {
    if commits.is_empty() {
        return Ok(());
    }
    let encoded = batch::encode_runs(commits, None, at)?;
    match connection.execute(sqlx::query_with(encoded.sql(), encoded.arguments.clone())).await {
        Ok(_) => Ok(()),
        Err(refused) if error::is_refusal(&refused) => {
            Err(StoreError::Conflict("a run changed under the lock of its workflow".to_owned()))
        }
        Err(failed) => Err(error::of_write(&failed)),
    }
}

async fn skip(
    connection: &mut SqliteConnection,
    skipped: &[(WorkflowId, Skipped)],
    at: Timestamp,
) -> Result<u64, StoreError> {
    if skipped.is_empty() {
        return Ok(0);
    }
    let mut list = Rows::new();
    let mut count = 0_u64;
    for (workflow, one) in skipped {
        count = count.saturating_add(one.count);
        let fires = i64::try_from(one.count).unwrap_or(i64::MAX);
        list.row().int(workflow.0).at(one.from).at(one.until).int(fires).str(one.reason.name());
    }
    let list = list.finish();
    fetch(
        connection,
        sql::SKIP,
        arguments(|a| {
            a.add(list)?;
            a.add(at.as_millis())
        })?,
    )
    .await?;
    Ok(count)
}

pub(super) async fn fire(
    connection: &mut SqliteConnection,
    workflows: &[WorkflowId],
    now: Timestamp,
    decide: &FireFn,
) -> Result<(Fired, BTreeSet<String>), StoreError> {
    let list = ids(workflows);
    let found = fetch(
        connection,
        sql::LOCK_DUE,
        arguments(|a| {
            a.add(list)?;
            a.add(now.as_millis())
        })?,
    )
    .await?;
    let mut due = found.iter().map(rows::due_schedule).collect::<Result<Vec<DueSchedule>, _>>()?;
    let locked: Vec<WorkflowId> = due.iter().map(|due| due.workflow_id).collect();
    let loads = loads(connection, &locked).await?;
    let (mut runs, mut skipped, mut moves) = (Vec::new(), Vec::new(), Rows::new());
    let mut fired = Fired::default();
    for due in &mut due {
        due.load = loads.get(&due.workflow_id).copied().unwrap_or_default();
        match panicked(catch_unwind(AssertUnwindSafe(|| decide(due))))? {
            FireDecision::Leave => {}
            FireDecision::Broken(reason) => {
                fired.moved += 1;
                moves.row().int(due.workflow_id.0).null().null().null().null().str(&reason);
            }
            FireDecision::Move { runs: new, skipped: left_out, progress, next } => {
                fired.moved += 1;
                runs.extend(new);
                skipped.extend(left_out.into_iter().map(|one| (due.workflow_id, one)));
                moves
                    .row()
                    .int(due.workflow_id.0)
                    .str(&rows::progress_text(&progress))
                    .at(progress.cursor)
                    .opt_at(next.at)
                    .opt_int(next.below.map(i64::from))
                    .null();
            }
        }
    }
    let (queues, created) = create(connection, runs, now).await?;
    fired.created = created;
    fired.skipped = skip(connection, &skipped, now).await?;
    if let Some(moves) = moves.finish() {
        let arguments = arguments(|a| {
            a.add(moves)?;
            a.add(now.as_millis())
        })?;
        fetch(connection, sql::MOVE, arguments).await?;
    }
    Ok((fired, queues))
}

pub(super) async fn publish_chunk(
    connection: &mut SqliteConnection,
    versions: &[ScheduledVersion],
    at: Timestamp,
) -> Result<Vec<Published>, StoreError> {
    let mut list = Rows::new();
    for one in versions {
        let (version, workflow) = (&one.version, &one.workflow);
        list.row()
            .str(&version.workflow)
            .str(&version.sha256)
            .str(&version.source)
            .str(&version.path)
            .str(&version.compiled)
            .str(&one.source)
            .int(i64::from(workflow.max_active_runs))
            .int(i64::from(workflow.paused));
    }
    let list = list.finish();
    let argument = || {
        arguments(|a| {
            a.add(list.clone())?;
            a.add(at.as_millis())
        })
    };
    let before = fetch(connection, sql::BEFORE, argument()?).await?;
    let before: BTreeMap<String, rows::Known> =
        before.iter().map(rows::known).collect::<Result<Vec<_>, _>>()?.into_iter().collect();
    fetch(connection, sql::NEW_WORKFLOWS, argument()?).await?;
    fetch(connection, sql::NEW_VERSIONS, argument()?).await?;
    let found = fetch(connection, sql::MAKE_CURRENT, argument()?).await?;
    let current = found.iter().map(rows::current).collect::<Result<BTreeMap<String, (Published, bool)>, _>>()?;
    let (mut published, mut skipped) = (Vec::with_capacity(versions.len()), Vec::new());
    let (mut kept, mut gone) = (Rows::new(), Rows::new());
    for one in versions {
        let name = &one.version.workflow;
        let (numbers, paused) = *current
            .get(name)
            .ok_or_else(|| StoreError::Other(format!("workflow `{name}` was published and is not there")))?;
        published.push(numbers);
        let known = before.get(name);
        let schedule = known.and_then(|known| known.schedule.as_ref());
        let returned = known.is_some_and(|known| known.retired);
        let (synced, failed) = synced(schedule, &one.workflow, (paused, returned), at);
        skipped.extend(synced.skipped.map(|one| (numbers.workflow_id, one)));
        match synced.progress {
            None => {
                gone.row().int(numbers.workflow_id.0);
            }
            Some(progress) => {
                kept.row()
                    .int(numbers.workflow_id.0)
                    .int(numbers.version_id.0)
                    .str(&rows::progress_text(&progress))
                    .at(progress.cursor)
                    .opt_at(synced.next.at)
                    .opt_int(synced.next.below.map(i64::from))
                    .opt_str(failed.as_deref());
            }
        }
    }
    if let Some(gone) = gone.finish() {
        fetch(connection, sql::FORGET_SCHEDULES, arguments(|a| a.add(gone))?).await?;
    }
    if let Some(kept) = kept.finish() {
        let arguments = arguments(|a| {
            a.add(kept)?;
            a.add(at.as_millis())
        })?;
        fetch(connection, sql::KEEP_SCHEDULES, arguments).await?;
    }
    skip(connection, &skipped, at).await?;
    Ok(published)
}

/// The schedule of a workflow after a pause began or ended.
pub(super) async fn pause(
    connection: &mut SqliteConnection,
    workflow: &str,
    paused: bool,
    by: &str,
    reason: Option<&str>,
    at: Timestamp,
) -> Result<(Option<bool>, bool), StoreError> {
    let found = fetch(connection, sql::ONE_SCHEDULE, arguments(|a| a.add(workflow))?).await?;
    let Some(row) = found.first() else { return Ok((None, false)) };
    let known = rows::schedule_row(row)?;
    if known.paused.is_some() == paused {
        return Ok((Some(false), false));
    }
    let arguments_of = arguments(|a| {
        a.add(known.workflow_id.0)?;
        a.add(paused)?;
        a.add(at.as_millis())?;
        a.add(by)?;
        a.add(reason)
    })?;
    fetch(connection, sql::SET_PAUSED, arguments_of).await?;
    let (mut next, mut failed) = (Next::default(), None);
    if let Some(schedule) = known.schedule.as_ref().filter(|_| !paused && known.retired_at.is_none()) {
        let version = rows::version_list(&[schedule.version_id]);
        let stored = fetch(connection, sql::COMPILED, arguments(|a| a.add(version))?).await?;
        let compiled: String = stored.first().map(|row| rows::cell(row, 1)).transpose()?.unwrap_or_default();
        match resumed(&compiled, &schedule.progress, at) {
            Ok(look) => next = look,
            Err(reason) => failed = Some(reason),
        }
    }
    let look = arguments(|a| {
        a.add(known.workflow_id.0)?;
        a.add(next.at.map(Timestamp::as_millis))?;
        a.add(next.below.map(i64::from))?;
        a.add(failed)?;
        a.add(at.as_millis())
    })?;
    fetch(connection, sql::LOOK, look).await?;
    Ok((Some(true), true))
}

/// What was made, and whether it was written.
pub(super) type Made<T> = Result<(T, bool), StoreError>;

/// Starts queued runs while there is room, and makes the schedule due if it waited for that.
pub(super) async fn start(
    connection: &mut SqliteConnection,
    workflow: WorkflowId,
    at: Timestamp,
    decide: StartFn,
) -> Made<(StartedRuns, BTreeSet<String>)> {
    let Some(Room { load, limit }) = room(connection, workflow).await? else {
        return Ok(((StartedRuns::default(), BTreeSet::new()), false));
    };
    let room = limit.saturating_sub(load.running).min(load.queued);
    let mut result = StartedRuns { queued: load.queued, ..StartedRuns::default() };
    let mut commits = Vec::new();
    if room > 0 {
        let arguments = arguments(|a| {
            a.add(workflow.0)?;
            a.add(i64::from(room))
        })?;
        let mut loaded = Vec::new();
        for row in fetch(connection, sql::QUEUED, arguments).await? {
            let run = rows::run_id(&row, 0)?;
            loaded.extend(load::full(connection, run).await?);
        }
        commits = panicked(catch_unwind(AssertUnwindSafe(|| decide(loaded))))?;
        write(connection, &commits, at).await?;
        result.started = commits.iter().map(|commit| commit.run_id).collect();
        result.queued -= u32::try_from(commits.len()).unwrap_or(0).min(result.queued);
    }
    let open = load.running.saturating_add(load.queued);
    let hurry = arguments(|a| {
        a.add(workflow.0)?;
        a.add(i64::from(open))?;
        a.add(at.as_millis())
    })?;
    result.schedule_due = !fetch(connection, sql::HURRY, hurry).await?.is_empty();
    let wrote = result.schedule_due || !commits.is_empty();
    Ok(((result, ready_queues(&commits)), wrote))
}

/// What became of a run that is to be made, and the queues that got work.
pub(super) async fn admit(
    connection: &mut SqliteConnection,
    (workflow, worker): (WorkflowId, Option<WorkerNo>),
    at: Timestamp,
    decide: AdmitFn,
) -> Made<(Admitted, BTreeSet<String>)> {
    let Some(Room { load, limit }) = room(connection, workflow).await? else {
        return Ok(((Admitted::NoWorkflow, BTreeSet::new()), false));
    };
    let decided = panicked(catch_unwind(AssertUnwindSafe(|| decide(load, limit))))?;
    let Some(commit) = decided else { return Ok(((Admitted::Nothing, BTreeSet::new()), false)) };
    let commits = [commit];
    let claims = commits[0].work.iter().any(|row| row.place == Place::Executing);
    // Also without claims: a taken key is an answer here.
    let encoded = batch::encode_runs(&commits, worker.filter(|_| claims), at)?;
    match connection.execute(sqlx::query_with(encoded.sql(), encoded.arguments.clone())).await {
        Ok(_) => Ok(((Admitted::Created, ready_queues(&commits)), true)),
        Err(refused) if error::is_refusal(&refused) => {
            let admitted = match batch::refusal(connection, encoded.arguments).await? {
                Committed::Refused { runs, .. } if runs.iter().any(|(_, why)| *why == Refusal::KeyTaken) => {
                    Admitted::KeyTaken
                }
                Committed::Refused { .. } | Committed::Applied { .. } => Admitted::WorkerInactive,
            };
            Ok(((admitted, BTreeSet::new()), false))
        }
        Err(failed) => Err(error::of_write(&failed)),
    }
}
