//! [`Scheduling`] on PostgreSQL, over connections of its own: each operation is one statement or one transaction.
//!
//! Locks: `fire` takes schedules with their workflows, as many as are free, and never waits. Everything else locks its
//! workflow first and then its schedule; nothing here waits for a run.

#[cfg(test)]
mod plans;
mod rows;
mod sql;
mod work;

pub(crate) use work::load_of;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use updraft_model::id::{RunId, VersionId, WorkerNo, WorkflowId};
use updraft_model::schedule::plan::{Next, Room};
use updraft_model::time::Timestamp;
use updraft_store::scheduling::{
    AdmitFn, Admitted, Due, FireFn, Fired, PublishedWorkflow, ScheduleRow, ScheduleTotals, ScheduledVersion,
    Scheduling, SkippedFire, SourceFile, StartFn, StartedRuns,
};
use updraft_store::{Counters, Published, Purpose, StoreError, Wake, check};

use crate::line::{Line, Lost, guarded};
use crate::{Inner, PgStore, error, row};

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
            // A lease that is dropped closes its connection, and with it the transaction.
            let mut lease = inner.schedules.lease().await?;
            inner.counters.round_trip(purpose);
            let mut transaction = lease.connection.begin().await.map_err(|error| error::plain(&error))?;
            let (value, wrote) = match work(&mut transaction, Arc::clone(&inner.counters)).await {
                Ok(made) => made,
                Err(error) => {
                    // At once, not when the server notices: what was locked is to be tried again in smaller parts.
                    if transaction.rollback().await.is_ok() {
                        lease.give_back();
                    }
                    return Err(error);
                }
            };
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
                    published.extend(work::publish_chunk(transaction, chunk, at).await?);
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
            Box::pin(async move { work::pause(transaction, &workflow, paused, (&by, reason.as_deref()), at).await })
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
                    let (fired, queues) = work::fire(transaction, &counters, &workflows, now, &decide).await?;
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
                work::look(transaction, workflow, Next::default(), Some(error), at).await?;
                Ok(((), true))
            })
        })
        .await
    }

    async fn zone_rules(&self, release: &str, now: Timestamp) -> Result<u64, StoreError> {
        let release = release.to_owned();
        self.together(Purpose::Admin, move |transaction, _| {
            Box::pin(async move {
                let said = sqlx::query(sql::ZONE_RULES).bind(release).bind(now.to_datetime());
                if said.fetch_all(&mut **transaction).await.map_err(plain)?.is_empty() {
                    return Ok((0, false));
                }
                let look = sqlx::query(sql::LOOK_AT_ZONES).bind(now.to_datetime());
                let hurried = look.fetch_all(&mut **transaction).await.map_err(plain)?;
                Ok((hurried.len() as u64, true))
            })
        })
        .await
    }

    async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        let found = self.glance(Purpose::Poll, |c| Box::pin(sqlx::query(sql::CLOCK).fetch_all(c))).await?;
        found.first().map(|row| row::at(row, 0)).transpose()
    }

    async fn start_runs(
        &self,
        workflow: WorkflowId,
        at: Timestamp,
        decide: StartFn,
    ) -> Result<StartedRuns, StoreError> {
        let (started, queues) = self
            .together(Purpose::Engine, move |transaction, counters| {
                Box::pin(async move { work::start(transaction, &counters, workflow, at, decide).await })
            })
            .await?;
        self.tell(queues, &started.started);
        Ok(started)
    }

    async fn room(&self, workflow: WorkflowId) -> Result<Option<Room>, StoreError> {
        let no = workflow.0;
        let limit =
            self.glance(Purpose::Poll, move |c| Box::pin(sqlx::query(sql::LIMIT).bind(no).fetch_all(c))).await?;
        let Some(limit) = limit.first() else { return Ok(None) };
        let found =
            self.glance(Purpose::Poll, move |c| Box::pin(sqlx::query(sql::LOADS).bind(vec![no]).fetch_all(c))).await?;
        let load = work::read_loads(&found)?.get(&workflow).copied().unwrap_or_default();
        Ok(Some(Room { load, limit: row::count(limit, 0)? }))
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
                Box::pin(async move { work::admit(transaction, &counters, (workflow, worker), at, decide).await })
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
