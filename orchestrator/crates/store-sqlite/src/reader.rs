//! History as people and programs read it, over connections of its own; also for a process that does not own the file,
//! whether or not somebody else does.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Arguments, Executor, Row};
use updraft_model::id::{MapIndex, RunId, TaskId, TaskKey, VersionId};
use updraft_store::read::{HistoryEntry, RunDetail, RunFilter, RunView, VersionView};
use updraft_store::{Counters, LogEntry, Purpose, Reader, StoreError};

use crate::encode::Rows;
use crate::load::{self, arguments, fetch};
use updraft_store::history::facts::FactsCache;
use updraft_store::schema::MigrationStatus;

use crate::logs::LogReads;
use crate::migrate;
use crate::read_pool::ReadPool;
use crate::rows::Reading;
use crate::store::OpenOptions;
use crate::writer::Writer;
use crate::{connect, error, query, rows};

/// Reads a file's history.
#[derive(Clone)]
pub struct SqliteReader {
    pool: Arc<ReadPool>,
    counters: Arc<Counters>,
    /// Of the process that owns the file: writes what readers may (notes).
    writer: Option<Writer>,
    facts: Arc<FactsCache>,
}

impl SqliteReader {
    /// Opens a file for reading alone. It must exist and have this build's schema.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if there is no such file or it cannot be read, [`StoreError::Schema`] if its schema is
    /// older or newer than this build's.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        if !path.exists() {
            return Err(StoreError::Unavailable(format!(
                "there is no store at {}; `updraft run` makes one, `--store` names another",
                path.display()
            )));
        }
        migrate::require_current(&migration_status(path).await?)?;
        let options = OpenOptions::default();
        let pool = ReadPool::new(path.to_path_buf(), options.readers, options.read_limit);
        Ok(Self { pool, counters: Arc::new(Counters::default()), writer: None, facts: Arc::default() })
    }

    pub(crate) fn over(pool: Arc<ReadPool>, counters: Arc<Counters>, writer: Writer, facts: Arc<FactsCache>) -> Self {
        Self { pool, counters, writer: Some(writer), facts }
    }

    pub(crate) fn pool(&self) -> &Arc<ReadPool> {
        &self.pool
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn writer(&self) -> Option<&Writer> {
        self.writer.as_ref()
    }

    pub(crate) fn facts_cache(&self) -> &FactsCache {
        &self.facts
    }

    pub(crate) fn log_reads(&self) -> LogReads<'_> {
        LogReads { pool: &self.pool, counters: &self.counters }
    }

    /// Ends the connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Which migrations a file has.
pub(crate) async fn migration_status(path: &Path) -> Result<Vec<MigrationStatus>, StoreError> {
    if !path.exists() {
        return Ok(migrate::none());
    }
    let mut connection = connect::reader(path).await?;
    let status = migrate::status(&mut connection).await?;
    sqlx::Connection::close(connection).await.map_err(|error| error::plain(&error))?;
    Ok(status)
}

#[async_trait]
impl Reader for SqliteReader {
    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunView>, StoreError> {
        let sql = query::runs(filter);
        let arguments = arguments(|a| {
            a.add(filter.workflow.as_deref())?;
            a.add(filter.before.map(|run| run.to_string()))?;
            a.add(i64::from(filter.limit))
        })?;
        self.counters.round_trip(Purpose::Read);
        self.pool
            .read(move |connection| {
                Box::pin(async move {
                    let query = sqlx::query_with(sqlx::AssertSqlSafe(sql), arguments);
                    let found = connection.fetch_all(query).await.map_err(|error| error::plain(&error))?;
                    found.iter().map(run_view).collect()
                })
            })
            .await
    }

    async fn run(&self, run: RunId) -> Result<Option<RunView>, StoreError> {
        self.counters.round_trip(Purpose::Read);
        self.pool.read(move |connection| Box::pin(async move { one_run(connection, run).await })).await
    }

    async fn runs_by_prefix(&self, prefix: &str) -> Result<Vec<RunId>, StoreError> {
        let Some((first, last)) = query::id_range(prefix) else { return Ok(Vec::new()) };
        let arguments = arguments(|a| {
            a.add(first)?;
            a.add(last)
        })?;
        self.counters.round_trip(Purpose::Read);
        self.pool
            .read(move |connection| {
                Box::pin(async move {
                    let found = fetch(connection, query::BY_PREFIX, arguments).await?;
                    found
                        .iter()
                        .map(|row| {
                            let text: &str = row.try_get(0).map_err(|error| error::plain(&error))?;
                            rows::uuid(text, "run", "run_id").map(RunId)
                        })
                        .collect()
                })
            })
            .await
    }

    async fn detail(&self, run: RunId) -> Result<Option<RunDetail>, StoreError> {
        self.counters.round_trip(Purpose::Read);
        self.pool
            .read(move |connection| {
                Box::pin(async move {
                    load::begin(connection).await?;
                    let detail = detail(connection, run).await?;
                    load::end(connection).await?;
                    Ok(detail)
                })
            })
            .await
    }

    async fn outputs(&self, run: RunId, of: &[(TaskKey, u32)]) -> Result<Vec<(TaskKey, String)>, StoreError> {
        let mut wanted = Rows::new();
        for (key, dispatch_no) in of {
            wanted.row().str(key.task.as_str()).int(key.map_index.0).int(*dispatch_no);
        }
        let arguments = arguments(|a| {
            a.add(run.to_string())?;
            a.add(wanted.finish())
        })?;
        self.counters.round_trip(Purpose::Read);
        self.pool
            .read(move |connection| {
                Box::pin(async move {
                    let found = fetch(connection, query::OUTPUTS, arguments).await?;
                    found
                        .iter()
                        .map(|row| {
                            let row = Reading::new(row, "attempt");
                            let key = TaskKey {
                                task: TaskId::from(row.get::<&str>("task_id")?),
                                map_index: MapIndex(row.get("map_index")?),
                            };
                            Ok((key, row.get("output")?))
                        })
                        .collect()
                })
            })
            .await
    }

    async fn history(&self, run: RunId, from: u64) -> Result<Vec<HistoryEntry>, StoreError> {
        let from = rows::to_i64(from)?;
        let arguments = arguments(|a| {
            a.add(run.to_string())?;
            a.add(from)
        })?;
        self.counters.round_trip(Purpose::Read);
        self.pool
            .read(move |connection| {
                Box::pin(async move {
                    let found = fetch(connection, query::HISTORY, arguments).await?;
                    found
                        .iter()
                        .map(|row| {
                            let LogEntry { version, at, actor, events, stamp: _ } = rows::log_entry(row)?;
                            Ok(HistoryEntry { version, at, actor, events })
                        })
                        .collect()
                })
            })
            .await
    }

    async fn version(&self, version: VersionId) -> Result<Option<VersionView>, StoreError> {
        let arguments = arguments(|a| a.add(version.0))?;
        self.counters.round_trip(Purpose::Read);
        self.pool
            .read(move |connection| {
                Box::pin(async move {
                    let found = fetch(connection, query::VERSION, arguments).await?;
                    let Some(row) = found.first() else { return Ok(None) };
                    let row = Reading::new(row, "workflow_version");
                    Ok(Some(VersionView {
                        workflow: row.get("workflow")?,
                        version_id: VersionId(row.get("version_id")?),
                        sha256: row.get("sha256")?,
                        source: row.get("source")?,
                        path: row.get("path")?,
                        compiled: row.get("compiled")?,
                    }))
                })
            })
            .await
    }
}

fn run_view(row: &sqlx::sqlite::SqliteRow) -> Result<RunView, StoreError> {
    let workflow = Reading::new(row, "workflow").get("workflow")?;
    let rows::Run { row, only, events: _ } = rows::run(row)?;
    Ok(RunView { workflow, row, only })
}

async fn one_run(connection: &mut SqliteConnection, run: RunId) -> Result<Option<RunView>, StoreError> {
    let sql = query::run();
    let query = sqlx::query_with(sqlx::AssertSqlSafe(sql), arguments(|a| a.add(run.to_string()))?);
    let found = connection.fetch_all(query).await.map_err(|error| error::plain(&error))?;
    found.first().map(run_view).transpose()
}

async fn detail(connection: &mut SqliteConnection, id: RunId) -> Result<Option<RunDetail>, StoreError> {
    let Some(run) = one_run(connection, id).await? else { return Ok(None) };
    let Some(loaded) = load::full(connection, id).await? else { return Ok(None) };
    let of_run = || arguments(|a| a.add(id.to_string()));
    let attempts = fetch(connection, query::ATTEMPTS, of_run()?).await?;
    let items = fetch(connection, query::ITEMS, of_run()?).await?;
    let metrics = fetch(connection, query::METRICS, of_run()?).await?;
    Ok(Some(RunDetail {
        run,
        expanded: updraft_store::read::expanded(&loaded.task_runs, &loaded.cleared),
        task_runs: loaded.task_runs,
        work: loaded.work,
        attempts: attempts.iter().map(rows::attempt).collect::<Result<_, _>>()?,
        items: items.iter().map(rows::item).collect::<Result<_, _>>()?,
        metrics: metrics.iter().map(rows::metric).collect::<Result<_, _>>()?,
    }))
}
