//! [`Scheduling`] on SQLite: each operation is one job of the writer, so nothing else writes between its statements.

mod rows;
mod sql;
mod work;

pub(crate) use work::room;

use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::Arguments;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use updraft_model::id::{VersionId, WorkerNo, WorkflowId};
use updraft_model::schedule::plan::Room;
use updraft_model::time::Timestamp;
use updraft_store::scheduling::{
    AdmitFn, Admitted, Due, FireFn, Fired, PublishedWorkflow, ScheduleRow, ScheduleTotals, ScheduledVersion,
    Scheduling, SkippedFire, SourceFile, StartFn, StartedRuns,
};
use updraft_store::{Published, Purpose, StoreError, Wake, check};

use crate::encode::Rows;
use crate::load::{arguments, fetch};
use crate::store::SqliteStore;

/// Publications in one statement.
const CHUNK: usize = 500;

impl SqliteStore {
    async fn scheduled(&self, sql: &'static str, arguments: SqliteArguments) -> Result<Vec<SqliteRow>, StoreError> {
        self.counters.round_trip(Purpose::Read);
        self.reads.read(move |connection| Box::pin(async move { fetch(connection, sql, arguments).await })).await
    }

    /// A look of the engine's, on its own connections.
    async fn glance(&self, sql: &'static str, arguments: SqliteArguments) -> Result<Vec<SqliteRow>, StoreError> {
        self.counters.round_trip(Purpose::Poll);
        self.loads.read(move |connection| Box::pin(async move { fetch(connection, sql, arguments).await })).await
    }

    fn tell(&self, queues: BTreeSet<String>) {
        for queue in queues {
            self.wake(Wake::Queue(queue));
        }
    }
}

#[async_trait]
impl Scheduling for SqliteStore {
    async fn workflows(&self) -> Result<Vec<PublishedWorkflow>, StoreError> {
        let found = self.scheduled(sql::WORKFLOWS, SqliteArguments::default()).await?;
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
        self.writer
            .job(Purpose::Admin, move |connection| {
                Box::pin(async move {
                    let mut published = Vec::with_capacity(versions.len());
                    for chunk in versions.chunks(CHUNK) {
                        published.extend(work::publish_chunk(connection, chunk, at).await?);
                    }
                    Ok((published, true))
                })
            })
            .await
    }

    async fn retire(&self, workflows: &[String], at: Timestamp) -> Result<u32, StoreError> {
        let names = serde_json::to_string(workflows).unwrap_or_default();
        self.writer
            .job(Purpose::Admin, move |connection| {
                Box::pin(async move {
                    let retired = fetch(
                        connection,
                        sql::RETIRE,
                        arguments(|a| {
                            a.add(names)?;
                            a.add(at.as_millis())
                        })?,
                    )
                    .await?;
                    let ids = retired
                        .iter()
                        .map(|row| rows::cell(row, 0).map(WorkflowId))
                        .collect::<Result<Vec<_>, StoreError>>()?;
                    let list = work::ids(&ids);
                    fetch(connection, sql::SILENCE, arguments(|a| a.add(list))?).await?;
                    Ok((u32::try_from(ids.len()).unwrap_or(u32::MAX), !ids.is_empty()))
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
        self.writer
            .job(Purpose::Admin, move |connection| {
                Box::pin(async move { work::pause(connection, &workflow, paused, &by, reason.as_deref(), at).await })
            })
            .await
    }

    async fn source_files(&self, source: &str, folder: &str) -> Result<Vec<SourceFile>, StoreError> {
        let arguments = arguments(|a| {
            a.add(source)?;
            a.add(folder)
        })?;
        self.scheduled(sql::FILES, arguments).await?.iter().map(|row| rows::source_file(row, 0)).collect()
    }

    async fn broken_files(&self) -> Result<Vec<(String, String, SourceFile)>, StoreError> {
        let found = self.scheduled(sql::BROKEN_FILES, SqliteArguments::default()).await?;
        found.iter().map(|row| Ok((rows::cell(row, 0)?, rows::cell(row, 1)?, rows::source_file(row, 2)?))).collect()
    }

    async fn report_files(
        &self,
        source: &str,
        folder: &str,
        changed: &[SourceFile],
        gone: &[String],
    ) -> Result<(), StoreError> {
        let mut list = Rows::new();
        for file in changed {
            check::text("path", &file.path, usize::MAX)?;
            check::text("diagnostics", &file.diagnostics, usize::MAX)?;
            list.row()
                .str(&file.path)
                .opt_str(file.workflow.as_deref())
                .str(&file.sha256)
                .str(&file.diagnostics)
                .int(i64::from(file.broken))
                .at(file.since);
        }
        let (source, folder, list) = (source.to_owned(), folder.to_owned(), list.finish());
        let gone = serde_json::to_string(gone).unwrap_or_default();
        self.writer
            .job(Purpose::Admin, move |connection| {
                Box::pin(async move {
                    let about = |list: Option<String>| {
                        arguments(|a| {
                            a.add(source.as_str())?;
                            a.add(folder.as_str())?;
                            a.add(list)
                        })
                    };
                    let mut wrote = fetch(connection, sql::FORGET_FILES, about(Some(gone))?).await?.len();
                    wrote += fetch(connection, sql::KEEP_FILES, about(list)?).await?.len();
                    Ok(((), wrote > 0))
                })
            })
            .await
    }

    async fn next_fire(&self) -> Result<Option<Timestamp>, StoreError> {
        let found = self.glance(sql::NEXT_FIRE, SqliteArguments::default()).await?;
        let next: Option<i64> = found.first().map(|row| rows::cell(row, 0)).transpose()?.flatten();
        Ok(next.map(Timestamp::from_millis))
    }

    async fn due_schedules(&self, now: Timestamp, limit: u32) -> Result<Vec<Due>, StoreError> {
        let arguments = arguments(|a| {
            a.add(now.as_millis())?;
            a.add(i64::from(limit))
        })?;
        self.glance(sql::DUE, arguments).await?.iter().map(rows::due).collect()
    }

    async fn compiled(&self, versions: &[VersionId]) -> Result<Vec<(VersionId, String)>, StoreError> {
        let list = rows::version_list(versions);
        let found = self.glance(sql::COMPILED, arguments(|a| a.add(list))?).await?;
        found.iter().map(|row| Ok((VersionId(rows::cell(row, 0)?), rows::cell(row, 1)?))).collect()
    }

    async fn fire(&self, workflows: &[WorkflowId], now: Timestamp, decide: FireFn) -> Result<Fired, StoreError> {
        let workflows = workflows.to_vec();
        let (fired, queues) = self
            .writer
            .job(Purpose::Engine, move |connection| {
                Box::pin(async move {
                    let (fired, queues) = work::fire(connection, &workflows, now, &decide).await?;
                    let wrote = fired.moved > 0;
                    Ok(((fired, queues), wrote))
                })
            })
            .await?;
        self.tell(queues);
        Ok(fired)
    }

    async fn quarantine(&self, workflow: WorkflowId, error: &str, at: Timestamp) -> Result<(), StoreError> {
        let error = error.replace('\0', "\u{FFFD}");
        let arguments = arguments(|a| {
            a.add(workflow.0)?;
            a.add(None::<i64>)?;
            a.add(None::<i64>)?;
            a.add(error)?;
            a.add(at.as_millis())
        })?;
        self.write(Purpose::Engine, sql::LOOK, arguments).await.map(drop)
    }

    async fn zone_rules(&self, release: &str, now: Timestamp) -> Result<u64, StoreError> {
        let release = release.to_owned();
        self.writer
            .job(Purpose::Admin, move |connection| {
                Box::pin(async move {
                    let said = arguments(|a| {
                        a.add(release)?;
                        a.add(now.as_millis())
                    })?;
                    if fetch(connection, sql::ZONE_RULES, said).await?.is_empty() {
                        return Ok((0, false));
                    }
                    let hurried = fetch(connection, sql::LOOK_AT_ZONES, arguments(|a| a.add(now.as_millis()))?).await?;
                    Ok((hurried.len() as u64, true))
                })
            })
            .await
    }

    /// This host's is the store's.
    async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    async fn start_runs(
        &self,
        workflow: WorkflowId,
        at: Timestamp,
        decide: StartFn,
    ) -> Result<StartedRuns, StoreError> {
        let (started, queues) = self
            .writer
            .job(Purpose::Engine, move |connection| {
                Box::pin(async move { work::start(connection, workflow, at, decide).await })
            })
            .await?;
        self.tell(queues);
        for run in &started.started {
            self.wake(Wake::Run(*run));
        }
        Ok(started)
    }

    async fn room(&self, workflow: WorkflowId) -> Result<Option<Room>, StoreError> {
        self.counters.round_trip(Purpose::Poll);
        self.loads.read(move |connection| Box::pin(room(connection, workflow))).await
    }

    async fn startable(&self) -> Result<Vec<WorkflowId>, StoreError> {
        let found = self.glance(sql::STARTABLE, SqliteArguments::default()).await?;
        found.iter().map(|row| rows::cell(row, 0).map(WorkflowId)).collect()
    }

    async fn create_run(
        &self,
        workflow: WorkflowId,
        worker: Option<WorkerNo>,
        at: Timestamp,
        decide: AdmitFn,
    ) -> Result<Admitted, StoreError> {
        let (admitted, queues) = self
            .writer
            .job(Purpose::Engine, move |connection| {
                Box::pin(async move { work::admit(connection, (workflow, worker), at, decide).await })
            })
            .await?;
        self.tell(queues);
        Ok(admitted)
    }

    async fn schedules(&self, after: Option<&str>, limit: u32) -> Result<Vec<ScheduleRow>, StoreError> {
        let arguments = arguments(|a| {
            a.add(after.unwrap_or_default())?;
            a.add(i64::from(limit))
        })?;
        self.scheduled(sql::SCHEDULES, arguments).await?.iter().map(rows::schedule_row).collect()
    }

    async fn schedule(&self, workflow: &str) -> Result<Option<ScheduleRow>, StoreError> {
        let found = self.scheduled(sql::ONE_SCHEDULE, arguments(|a| a.add(workflow))?).await?;
        found.first().map(rows::schedule_row).transpose()
    }

    async fn next_schedules(&self, limit: u32) -> Result<Vec<ScheduleRow>, StoreError> {
        let arguments = arguments(|a| a.add(i64::from(limit)))?;
        self.scheduled(sql::NEXT_SCHEDULES, arguments).await?.iter().map(rows::schedule_row).collect()
    }

    async fn schedule_totals(&self, now: Timestamp) -> Result<ScheduleTotals, StoreError> {
        let found = self.scheduled(sql::TOTALS, arguments(|a| a.add(now.as_millis()))?).await?;
        found.first().map(rows::totals).transpose().map(Option::unwrap_or_default)
    }

    async fn skipped_fires(
        &self,
        workflow: Option<&str>,
        since: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<SkippedFire>, StoreError> {
        let arguments = arguments(|a| {
            a.add(workflow)?;
            a.add(since.map_or(i64::MIN, Timestamp::as_millis))?;
            a.add(i64::from(limit))
        })?;
        let sql = if workflow.is_some() { sql::SKIPPED_OF } else { sql::SKIPPED };
        self.scheduled(sql, arguments).await?.iter().map(rows::skipped_fire).collect()
    }
}
