//! [`Scheduling`] on PostgreSQL, over connections of its own: each operation is one statement or one transaction.
//!
//! Locks: `fire` takes schedules with their workflows, as many as are free, and never waits. Everything else locks its
//! workflow first and then its schedule; nothing here waits for a run.

mod rows;
mod sql;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use updraft_model::id::{RunId, VersionId, WorkerNo, WorkflowId};
use updraft_model::schedule::plan::{Load, Next, Skipped};
use updraft_model::state::Place;
use updraft_model::time::Timestamp;
use updraft_store::scheduling::{
    AdmitFn, Admitted, Before, Due, DueSchedule, FireDecision, FireFn, Fired, PublishedWorkflow, ScheduleRow,
    ScheduleTotals, ScheduledVersion, Scheduling, SkippedFire, SourceFile, StartFn, StartedRuns, resumed, synced,
};
use updraft_store::{Committed, Counters, Expected, Published, Purpose, Refusal, RunCommit, StoreError, Wake, check};
use uuid::Uuid;

use crate::batch::Encoded;
use crate::commit::RUN_EXISTS;
use crate::line::{Line, Lost, guarded};
use crate::{Inner, PgStore, error, load, row};

/// Publications in one statement.
const CHUNK: usize = 500;

fn line(inner: &Inner) -> &Arc<Line> {
    &inner.schedules
}

/// What a transaction made, and whether it wrote.
type Made<T> = Result<(T, bool), StoreError>;

impl PgStore {
    async fn glance<F>(&self, purpose: Purpose, ask: F) -> Result<Vec<PgRow>, StoreError>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<Vec<PgRow>, sqlx::Error>> + Send + 'static,
    {
        self.ask(line, purpose, Lost::Nothing, ask).await
    }

    /// Several statements in one transaction; undone if it writes nothing.
    async fn together<T, F>(&self, purpose: Purpose, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Transaction<'_, Postgres>, Arc<Counters>) -> BoxFuture<'t, Made<T>> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        guarded(Lost::Commit, async move {
            // On any error the lease is dropped, which closes the connection and with it the transaction.
            let mut lease = inner.schedules.lease().await?;
            inner.counters.round_trip(purpose);
            let mut transaction = lease.connection.begin().await.map_err(|error| error::plain(&error))?;
            let (value, wrote) = work(&mut transaction, Arc::clone(&inner.counters)).await?;
            inner.counters.round_trip(purpose);
            if wrote {
                transaction.commit().await.map_err(|error| error::of_commit(&error))?;
                inner.counters.committed(purpose);
            } else {
                transaction.rollback().await.map_err(|error| error::plain(&error))?;
            }
            lease.give_back();
            Ok(value)
        })
        .await
    }

    fn tell(&self, queues: BTreeSet<String>, runs: &[RunId]) {
        let hints = queues.into_iter().map(Wake::Queue).chain(runs.iter().copied().map(Wake::Run));
        self.inner.notifier.hint(hints.collect());
    }
}

fn plain(error: sqlx::Error) -> StoreError {
    error::plain(&error)
}

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
    let mut loads: BTreeMap<WorkflowId, Load> = BTreeMap::new();
    for row in &found {
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

async fn fire(
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

async fn publish_chunk(
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
async fn look(
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

async fn pause(
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

/// Locks a workflow; its limit, and how busy it is now.
async fn lock(connection: &mut PgConnection, workflow: WorkflowId) -> Result<Option<(u32, Load)>, StoreError> {
    let limit = sqlx::query(sql::LOCK_LIMIT).bind(workflow.0).fetch_optional(&mut *connection).await.map_err(plain)?;
    let Some(limit) = limit else { return Ok(None) };
    let load = loads(connection, &[workflow]).await?.get(&workflow).copied().unwrap_or_default();
    Ok(Some((row::count(&limit, 0)?, load)))
}

async fn start(
    connection: &mut PgConnection,
    counters: &Counters,
    workflow: WorkflowId,
    at: Timestamp,
    decide: StartFn,
) -> Made<(StartedRuns, BTreeSet<String>)> {
    let Some((limit, load)) = lock(connection, workflow).await? else {
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
async fn admit(
    connection: &mut PgConnection,
    counters: &Counters,
    (workflow, worker): (WorkflowId, Option<WorkerNo>),
    at: Timestamp,
    decide: AdmitFn,
) -> Made<(Admitted, BTreeSet<String>)> {
    let no = |admitted| Ok(((admitted, BTreeSet::new()), false));
    let Some((limit, load)) = lock(connection, workflow).await? else { return no(Admitted::NoWorkflow) };
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

#[async_trait]
impl Scheduling for PgStore {
    async fn workflows(&self) -> Result<Vec<PublishedWorkflow>, StoreError> {
        let found = self.glance(Purpose::Read, |c| Box::pin(sqlx::query(sql::WORKFLOWS).fetch_all(c))).await?;
        found.iter().map(rows::published_workflow).collect()
    }

    async fn publish_all(&self, versions: &[ScheduledVersion], at: Timestamp) -> Result<Vec<Published>, StoreError> {
        for one in versions {
            let version = &one.version;
            for (what, text) in [("workflow", &version.workflow), ("source", &version.source), ("path", &version.path)]
            {
                check::text(what, text, usize::MAX)?;
            }
        }
        if versions.is_empty() {
            return Ok(Vec::new());
        }
        let versions = versions.to_vec();
        self.together(Purpose::Admin, move |transaction, _| {
            Box::pin(async move {
                let mut published = Vec::with_capacity(versions.len());
                for chunk in versions.chunks(CHUNK) {
                    published.extend(publish_chunk(transaction, chunk, at).await?);
                }
                Ok((published, true))
            })
        })
        .await
    }

    async fn retire(&self, workflows: &[String], at: Timestamp) -> Result<u32, StoreError> {
        let workflows = workflows.to_vec();
        self.together(Purpose::Admin, move |transaction, _| {
            Box::pin(async move {
                sqlx::query(sql::LOCK_WORKFLOWS).bind(&workflows).execute(&mut **transaction).await.map_err(plain)?;
                let retired: Vec<i64> = sqlx::query_scalar(sql::RETIRE)
                    .bind(&workflows)
                    .bind(at.to_datetime())
                    .fetch_all(&mut **transaction)
                    .await
                    .map_err(plain)?;
                sqlx::query(sql::SILENCE).bind(&retired).execute(&mut **transaction).await.map_err(plain)?;
                Ok((u32::try_from(retired.len()).unwrap_or(u32::MAX), !retired.is_empty()))
            })
        })
        .await
    }

    async fn set_paused(
        &self,
        workflow: &str,
        paused: bool,
        by: &str,
        reason: Option<&str>,
        at: Timestamp,
    ) -> Result<Option<bool>, StoreError> {
        check::text("by", by, usize::MAX)?;
        check::text("reason", reason.unwrap_or_default(), usize::MAX)?;
        let (workflow, by, reason) = (workflow.to_owned(), by.to_owned(), reason.map(str::to_owned));
        self.together(Purpose::Admin, move |transaction, _| {
            Box::pin(async move { pause(transaction, &workflow, paused, (&by, reason.as_deref()), at).await })
        })
        .await
    }

    async fn source_files(&self, source: &str, folder: &str) -> Result<Vec<SourceFile>, StoreError> {
        let (source, folder) = (source.to_owned(), folder.to_owned());
        let found = self
            .glance(Purpose::Read, move |c| Box::pin(sqlx::query(sql::FILES).bind(source).bind(folder).fetch_all(c)))
            .await?;
        found.iter().map(|row| rows::source_file(row, 0)).collect()
    }

    async fn broken_files(&self) -> Result<Vec<(String, String, SourceFile)>, StoreError> {
        let found = self.glance(Purpose::Read, |c| Box::pin(sqlx::query(sql::BROKEN_FILES).fetch_all(c))).await?;
        found.iter().map(|row| Ok((row::get(row, 0)?, row::get(row, 1)?, rows::source_file(row, 2)?))).collect()
    }

    async fn report_files(
        &self,
        source: &str,
        folder: &str,
        changed: &[SourceFile],
        gone: &[String],
    ) -> Result<(), StoreError> {
        for file in changed {
            check::text("path", &file.path, usize::MAX)?;
            check::text("diagnostics", &file.diagnostics, usize::MAX)?;
        }
        let list = rows::files(changed)?;
        let (source, folder, gone) = (source.to_owned(), folder.to_owned(), gone.to_vec());
        self.together(Purpose::Admin, move |transaction, _| {
            Box::pin(async move {
                let forgotten = sqlx::query(sql::FORGET_FILES)
                    .bind(&source)
                    .bind(&folder)
                    .bind(gone)
                    .execute(&mut **transaction)
                    .await
                    .map_err(plain)?;
                let kept = sqlx::query(sql::KEEP_FILES)
                    .bind(&source)
                    .bind(&folder)
                    .bind(list)
                    .execute(&mut **transaction)
                    .await
                    .map_err(plain)?;
                Ok(((), forgotten.rows_affected() + kept.rows_affected() > 0))
            })
        })
        .await
    }

    async fn next_fire(&self) -> Result<Option<Timestamp>, StoreError> {
        let found = self.glance(Purpose::Poll, |c| Box::pin(sqlx::query(sql::NEXT_FIRE).fetch_all(c))).await?;
        found.first().map(|found| row::opt_at(found, 0)).transpose().map(Option::flatten)
    }

    async fn due_schedules(&self, now: Timestamp, limit: u32) -> Result<Vec<Due>, StoreError> {
        let found = self
            .glance(Purpose::Poll, move |c| {
                Box::pin(sqlx::query(sql::DUE).bind(now.to_datetime()).bind(i64::from(limit)).fetch_all(c))
            })
            .await?;
        found.iter().map(rows::due).collect()
    }

    async fn compiled(&self, versions: &[VersionId]) -> Result<Vec<(VersionId, String)>, StoreError> {
        let ids: Vec<i64> = versions.iter().map(|version| version.0).collect();
        let found = self
            .glance(Purpose::Poll, move |c| {
                Box::pin(async move { sqlx::query(sql::COMPILED).bind(ids).fetch_all(c).await })
            })
            .await?;
        found.iter().map(|row| Ok((VersionId(row::get(row, 0)?), row::get(row, 1)?))).collect()
    }

    async fn fire(&self, workflows: &[WorkflowId], now: Timestamp, decide: FireFn) -> Result<Fired, StoreError> {
        let workflows = workflows.to_vec();
        let (fired, queues) = self
            .together(Purpose::Engine, move |transaction, counters| {
                Box::pin(async move {
                    let (fired, queues) = fire(transaction, &counters, &workflows, now, &decide).await?;
                    let wrote = fired.moved > 0;
                    Ok(((fired, queues), wrote))
                })
            })
            .await?;
        self.tell(queues, &[]);
        Ok(fired)
    }

    async fn quarantine(&self, workflow: WorkflowId, error: &str, at: Timestamp) -> Result<(), StoreError> {
        let error = error.replace('\0', "\u{FFFD}");
        self.together(Purpose::Admin, move |transaction, _| {
            Box::pin(async move {
                look(transaction, workflow, Next::default(), Some(error), at).await?;
                Ok(((), true))
            })
        })
        .await
    }

    async fn start_runs(
        &self,
        workflow: WorkflowId,
        at: Timestamp,
        decide: StartFn,
    ) -> Result<StartedRuns, StoreError> {
        let (started, queues) = self
            .together(Purpose::Engine, move |transaction, counters| {
                Box::pin(async move { start(transaction, &counters, workflow, at, decide).await })
            })
            .await?;
        self.tell(queues, &started.started);
        Ok(started)
    }

    async fn startable(&self) -> Result<Vec<WorkflowId>, StoreError> {
        let found = self.glance(Purpose::Poll, |c| Box::pin(sqlx::query(sql::STARTABLE).fetch_all(c))).await?;
        found.iter().map(|found| row::get(found, 0).map(WorkflowId)).collect()
    }

    async fn create_run(
        &self,
        workflow: WorkflowId,
        worker: Option<WorkerNo>,
        at: Timestamp,
        decide: AdmitFn,
    ) -> Result<Admitted, StoreError> {
        let (admitted, queues) = self
            .together(Purpose::Engine, move |transaction, counters| {
                Box::pin(async move { admit(transaction, &counters, (workflow, worker), at, decide).await })
            })
            .await?;
        self.tell(queues, &[]);
        Ok(admitted)
    }

    async fn schedules(&self, after: Option<&str>, limit: u32) -> Result<Vec<ScheduleRow>, StoreError> {
        let after = after.unwrap_or_default().to_owned();
        let found = self
            .glance(Purpose::Read, move |c| {
                Box::pin(sqlx::query(sql::SCHEDULES).bind(after).bind(i64::from(limit)).fetch_all(c))
            })
            .await?;
        found.iter().map(rows::schedule_row).collect()
    }

    async fn schedule(&self, workflow: &str) -> Result<Option<ScheduleRow>, StoreError> {
        let workflow = workflow.to_owned();
        let found = self
            .glance(Purpose::Read, move |c| Box::pin(sqlx::query(sql::ONE_SCHEDULE).bind(workflow).fetch_all(c)))
            .await?;
        found.first().map(rows::schedule_row).transpose()
    }

    async fn next_schedules(&self, limit: u32) -> Result<Vec<ScheduleRow>, StoreError> {
        let found = self
            .glance(Purpose::Read, move |c| {
                Box::pin(sqlx::query(sql::NEXT_SCHEDULES).bind(i64::from(limit)).fetch_all(c))
            })
            .await?;
        found.iter().map(rows::schedule_row).collect()
    }

    async fn schedule_totals(&self, now: Timestamp) -> Result<ScheduleTotals, StoreError> {
        let found = self
            .glance(Purpose::Read, move |c| Box::pin(sqlx::query(sql::TOTALS).bind(now.to_datetime()).fetch_all(c)))
            .await?;
        found.first().map(rows::totals).transpose().map(Option::unwrap_or_default)
    }

    async fn skipped_fires(
        &self,
        workflow: Option<&str>,
        since: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<SkippedFire>, StoreError> {
        let workflow = workflow.map(str::to_owned);
        let since = since.map(Timestamp::to_datetime);
        let sql = if workflow.is_some() { sql::SKIPPED_OF } else { sql::SKIPPED };
        let found = self
            .glance(Purpose::Read, move |c| {
                Box::pin(sqlx::query(sql).bind(workflow).bind(since).bind(i64::from(limit)).fetch_all(c))
            })
            .await?;
        found.iter().map(rows::skipped_fire).collect()
    }
}
