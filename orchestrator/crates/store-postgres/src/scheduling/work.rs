//! What is done inside a transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use updraft_model::id::{RunId, WorkerNo, WorkflowId};
use updraft_model::schedule::plan::{Load, Next, Room, Skipped};
use updraft_model::state::Place;
use updraft_model::time::Timestamp;
use updraft_store::scheduling::{
    AdmitFn, Admitted, Before, DueSchedule, FireDecision, FireFn, Fired, ScheduledVersion, StartFn, StartedRuns,
    resumed, synced,
};
use updraft_store::{Committed, Counters, Expected, Published, Refusal, RunCommit, StoreError};
use uuid::Uuid;

use super::{Made, plain, rows, sql};
use crate::batch::Encoded;
use crate::commit::RUN_EXISTS;
use crate::{error, load, row};

fn panicked<T>(made: std::thread::Result<T>) -> Result<T, StoreError> {
    made.map_err(|_| StoreError::Other("a decision about a schedule panicked".to_owned()))
}

fn ready_queues(commits: &[RunCommit]) -> BTreeSet<String> {
    let rows = commits.iter().flat_map(|commit| &commit.work);
    rows.filter(|row| row.place == Place::Ready).map(|row| row.queue.clone()).collect()
}

fn ids(workflows: &[WorkflowId]) -> Vec<i64> {
    workflows.iter().map(|workflow| workflow.0).collect()
}

/// How busy these workflows are.
async fn loads(
    connection: &mut PgConnection,
    workflows: &[WorkflowId],
) -> Result<BTreeMap<WorkflowId, Load>, StoreError> {
    let found = sqlx::query(sql::LOADS).bind(ids(workflows)).fetch_all(connection).await.map_err(plain)?;
    read_loads(&found)
}

/// The answer to [`sql::LOADS`].
pub(super) fn read_loads(found: &[PgRow]) -> Result<BTreeMap<WorkflowId, Load>, StoreError> {
    let mut loads: BTreeMap<WorkflowId, Load> = BTreeMap::new();
    for row in found {
        rows::add_load(&mut loads, row)?;
    }
    Ok(loads)
}

/// The new runs of these whose key is taken.
async fn taken(connection: &mut PgConnection, commits: &[RunCommit]) -> Result<BTreeSet<RunId>, StoreError> {
    let (mut runs, mut workflows, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for commit in commits {
        if let Expected::New(facts) = &commit.expected {
            runs.push(commit.run_id.0);
            workflows.push(facts.workflow_id.0);
            keys.push(facts.run_key.as_str());
        }
    }
    if runs.is_empty() {
        return Ok(BTreeSet::new());
    }
    let taken: Vec<(Uuid,)> = sqlx::query_as(crate::sql::TAKEN)
        .bind(runs)
        .bind(workflows)
        .bind(keys)
        .fetch_all(connection)
        .await
        .map_err(plain)?;
    Ok(taken.into_iter().map(|(run,)| RunId(run)).collect())
}

/// Writes runs.
async fn write(
    connection: &mut PgConnection,
    counters: &Counters,
    commits: &[RunCommit],
    at: Timestamp,
) -> Result<(), StoreError> {
    if commits.is_empty() {
        return Ok(());
    }
    let encoded = Encoded::runs(commits, None, at)?;
    match encoded.execute(connection, counters).await.map_err(plain)?? {
        Committed::Applied { .. } => Ok(()),
        Committed::Refused { .. } => Err(StoreError::Conflict("a run changed meanwhile".to_owned())),
    }
}

async fn skip(
    connection: &mut PgConnection,
    skipped: &[(WorkflowId, Skipped)],
    at: Timestamp,
) -> Result<u64, StoreError> {
    if skipped.is_empty() {
        return Ok(0);
    }
    let list = rows::skipped_list(skipped)?;
    sqlx::query(sql::SKIP).bind(list).bind(at.to_datetime()).execute(connection).await.map_err(plain)?;
    Ok(skipped.iter().fold(0, |sum, (_, one)| sum.saturating_add(one.count)))
}

pub(super) async fn fire(
    connection: &mut PgConnection,
    counters: &Counters,
    workflows: &[WorkflowId],
    now: Timestamp,
    decide: &FireFn,
) -> Result<(Fired, BTreeSet<String>), StoreError> {
    let found = sqlx::query(sql::LOCK_DUE)
        .bind(ids(workflows))
        .bind(now.to_datetime())
        .fetch_all(&mut *connection)
        .await
        .map_err(plain)?;
    let mut due = found.iter().map(rows::due_schedule).collect::<Result<Vec<DueSchedule>, _>>()?;
    if due.is_empty() {
        return Ok((Fired::default(), BTreeSet::new()));
    }
    let locked: Vec<WorkflowId> = due.iter().map(|due| due.workflow_id).collect();
    let loads = loads(connection, &locked).await?;
    let (mut runs, mut skipped, mut moves) = (Vec::new(), Vec::new(), Vec::new());
    let mut fired = Fired::default();
    for due in &mut due {
        due.load = loads.get(&due.workflow_id).copied().unwrap_or_default();
        match panicked(catch_unwind(AssertUnwindSafe(|| decide(due))))? {
            FireDecision::Leave => {}
            FireDecision::Broken(reason) => {
                fired.moved += 1;
                moves.push(rows::Kept::of(due.workflow_id).failed(Some(reason)));
            }
            FireDecision::Move { runs: new, skipped: left_out, progress, next } => {
                fired.moved += 1;
                runs.extend(new);
                skipped.extend(left_out.into_iter().map(|one| (due.workflow_id, one)));
                moves.push(rows::Kept::of(due.workflow_id).with(&progress, next));
            }
        }
    }
    let taken = taken(connection, &runs).await?;
    runs.retain(|run| !taken.contains(&run.run_id));
    write(connection, counters, &runs, now).await?;
    fired.created = u32::try_from(runs.len()).unwrap_or(u32::MAX);
    fired.skipped = skip(connection, &skipped, now).await?;
    if !moves.is_empty() {
        let list = rows::list(&moves)?;
        sqlx::query(sql::MOVE).bind(list).bind(now.to_datetime()).execute(connection).await.map_err(plain)?;
    }
    Ok((fired, ready_queues(&runs)))
}

pub(super) async fn publish_chunk(
    connection: &mut PgConnection,
    versions: &[ScheduledVersion],
    at: Timestamp,
) -> Result<Vec<Published>, StoreError> {
    let list = rows::publications(versions)?;
    let at_time = at.to_datetime();
    sqlx::query(sql::NEW_WORKFLOWS).bind(&list).bind(at_time).execute(&mut *connection).await.map_err(plain)?;
    // The lock comes before what is read of the schedules.
    let names: Vec<&str> = versions.iter().map(|one| one.version.workflow.as_str()).collect();
    sqlx::query(sql::LOCK_WORKFLOWS).bind(names).execute(&mut *connection).await.map_err(plain)?;
    let found = sqlx::query(sql::BEFORE).bind(&list).fetch_all(&mut *connection).await.map_err(plain)?;
    let before: BTreeMap<String, rows::Known> =
        found.iter().map(rows::known).collect::<Result<Vec<_>, _>>()?.into_iter().collect();
    sqlx::query(sql::NEW_VERSIONS).bind(&list).bind(at_time).execute(&mut *connection).await.map_err(plain)?;
    let found = sqlx::query(sql::MAKE_CURRENT).bind(&list).fetch_all(&mut *connection).await.map_err(plain)?;
    let current = found.iter().map(rows::current).collect::<Result<BTreeMap<String, (Published, bool)>, _>>()?;
    let (mut published, mut skipped) = (Vec::with_capacity(versions.len()), Vec::new());
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for one in versions {
        let name = &one.version.workflow;
        let (numbers, paused) = *current
            .get(name)
            .ok_or_else(|| StoreError::Other(format!("workflow `{name}` was published and is not there")))?;
        published.push(numbers);
        let known = before.get(name);
        let schedule: Option<&Before> = known.and_then(|known| known.schedule.as_ref());
        let returned = known.is_some_and(|known| known.retired);
        let (synced, failed) = synced(schedule, &one.workflow, (paused, returned), at);
        skipped.extend(synced.skipped.map(|one| (numbers.workflow_id, one)));
        match synced.progress {
            None => gone.push(numbers.workflow_id.0),
            Some(progress) => kept.push(
                rows::Kept::of(numbers.workflow_id)
                    .of_version(numbers.version_id)
                    .with(&progress, synced.next)
                    .failed(failed),
            ),
        }
    }
    sqlx::query(sql::FORGET_SCHEDULES).bind(gone).execute(&mut *connection).await.map_err(plain)?;
    if !kept.is_empty() {
        let list = rows::list(&kept)?;
        sqlx::query(sql::KEEP_SCHEDULES).bind(list).bind(at_time).execute(&mut *connection).await.map_err(plain)?;
    }
    skip(connection, &skipped, at).await?;
    Ok(published)
}

/// Sets when a schedule is looked at.
pub(super) async fn look(
    connection: &mut PgConnection,
    workflow: WorkflowId,
    next: Next,
    failed: Option<String>,
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(sql::LOOK)
        .bind(workflow.0)
        .bind(next.at.map(Timestamp::to_datetime))
        .bind(next.below.map(i64::from))
        .bind(failed)
        .bind(at.to_datetime())
        .execute(connection)
        .await
        .map(drop)
        .map_err(plain)
}

pub(super) async fn pause(
    connection: &mut PgConnection,
    workflow: &str,
    paused: bool,
    (by, reason): (&str, Option<&str>),
    at: Timestamp,
) -> Made<Option<bool>> {
    sqlx::query(sql::LOCK_WORKFLOWS).bind(vec![workflow]).execute(&mut *connection).await.map_err(plain)?;
    let found = sqlx::query(sql::ONE_SCHEDULE).bind(workflow).fetch_optional(&mut *connection).await.map_err(plain)?;
    let Some(found) = found else { return Ok((None, false)) };
    let known = rows::schedule_row(&found)?;
    if known.paused.is_some() == paused {
        return Ok((Some(false), false));
    }
    sqlx::query(sql::SET_PAUSED)
        .bind(known.workflow_id.0)
        .bind(paused)
        .bind(at.to_datetime())
        .bind(by)
        .bind(reason)
        .execute(&mut *connection)
        .await
        .map_err(plain)?;
    let (mut next, mut failed) = (Next::default(), None);
    if let Some(schedule) = known.schedule.as_ref().filter(|_| !paused && known.retired_at.is_none()) {
        let stored = sqlx::query(sql::COMPILED)
            .bind(vec![schedule.version_id.0])
            .fetch_optional(&mut *connection)
            .await
            .map_err(plain)?;
        let compiled: String = stored.map(|stored| row::get(&stored, 1)).transpose()?.unwrap_or_default();
        match resumed(&compiled, &schedule.progress, at) {
            Ok(look) => next = look,
            Err(reason) => failed = Some(reason),
        }
    }
    look(connection, known.workflow_id, next, failed, at).await?;
    Ok((Some(true), true))
}

/// Locks a workflow; how busy it is now, beside its limit.
async fn lock(connection: &mut PgConnection, workflow: WorkflowId) -> Result<Option<Room>, StoreError> {
    let limit = sqlx::query(sql::LOCK_LIMIT).bind(workflow.0).fetch_optional(&mut *connection).await.map_err(plain)?;
    let Some(limit) = limit else { return Ok(None) };
    // In a statement of its own: it sees what whoever had the lock before has written.
    Ok(Some(Room { load: load_of(connection, workflow).await?, limit: row::count(&limit, 0)? }))
}

/// How busy a workflow is now.
pub(crate) async fn load_of(connection: &mut PgConnection, workflow: WorkflowId) -> Result<Load, StoreError> {
    Ok(loads(connection, &[workflow]).await?.get(&workflow).copied().unwrap_or_default())
}

pub(super) async fn start(
    connection: &mut PgConnection,
    counters: &Counters,
    workflow: WorkflowId,
    at: Timestamp,
    decide: StartFn,
) -> Made<(StartedRuns, BTreeSet<String>)> {
    let Some(Room { load, limit }) = lock(connection, workflow).await? else {
        return Ok(((StartedRuns::default(), BTreeSet::new()), false));
    };
    let room = limit.saturating_sub(load.running).min(load.queued);
    let mut result = StartedRuns { queued: load.queued, ..StartedRuns::default() };
    let mut commits = Vec::new();
    if room > 0 {
        let queued = sqlx::query(sql::LOCK_QUEUED)
            .bind(workflow.0)
            .bind(i64::from(room))
            .fetch_all(&mut *connection)
            .await
            .map_err(plain)?;
        let mut loaded = Vec::with_capacity(queued.len());
        for found in &queued {
            loaded.push(load::whole(&mut *connection, RunId(row::get(found, 0)?)).await?);
        }
        commits = panicked(catch_unwind(AssertUnwindSafe(|| decide(loaded))))?;
        write(connection, counters, &commits, at).await?;
        result.started = commits.iter().map(|commit| commit.run_id).collect();
        result.queued -= u32::try_from(commits.len()).unwrap_or(0).min(result.queued);
    }
    let open = load.running.saturating_add(load.queued);
    let hurried = sqlx::query(sql::HURRY)
        .bind(workflow.0)
        .bind(i64::from(open))
        .bind(at.to_datetime())
        .execute(connection)
        .await
        .map_err(plain)?;
    result.schedule_due = hurried.rows_affected() > 0;
    let wrote = result.schedule_due || !commits.is_empty();
    Ok(((result, ready_queues(&commits)), wrote))
}

/// What became of a run that is to be made, and the queues that got work.
pub(super) async fn admit(
    connection: &mut PgConnection,
    counters: &Counters,
    (workflow, worker): (WorkflowId, Option<WorkerNo>),
    at: Timestamp,
    decide: AdmitFn,
) -> Made<(Admitted, BTreeSet<String>)> {
    let no = |admitted| Ok(((admitted, BTreeSet::new()), false));
    let Some(Room { load, limit }) = lock(connection, workflow).await? else { return no(Admitted::NoWorkflow) };
    let decided = panicked(catch_unwind(AssertUnwindSafe(|| decide(load, limit))))?;
    let Some(commit) = decided else { return no(Admitted::Nothing) };
    let commits = [commit];
    if !taken(connection, &commits).await?.is_empty() {
        return no(Admitted::KeyTaken);
    }
    let claims = commits[0].work.iter().any(|row| row.place == Place::Executing);
    let encoded = Encoded::runs(&commits, worker.filter(|_| claims), at)?;
    let answer = match encoded.execute(connection, counters).await {
        Ok(answer) => answer?,
        // Somebody else's transaction with the same key was faster.
        Err(failed) if error::is_duplicate_of(&failed, RUN_EXISTS) => {
            return Err(StoreError::Conflict("a run with this key was made at the same time".to_owned()));
        }
        Err(failed) => return Err(error::plain(&failed)),
    };
    match answer {
        Committed::Applied { .. } => Ok(((Admitted::Created, ready_queues(&commits)), true)),
        Committed::Refused { runs, .. } if runs.iter().any(|(_, why)| *why == Refusal::KeyTaken) => {
            no(Admitted::KeyTaken)
        }
        Committed::Refused { .. } => no(Admitted::WorkerInactive),
    }
}
