//! The owner's handle on a SQLite file: everything that the engine asks of a store.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, Row};
use tokio::sync::broadcast;
use updraft_model::id::{AttemptId, RunId, Stamp, VersionId, WorkerNo, WorkflowId};
use updraft_model::record::WorkRow;
use updraft_model::time::Timestamp;
use updraft_store::history::facts::FactsCache;
use updraft_store::schema::{LEASE_MS, MigrationStatus};
use updraft_store::{
    Batch, Beaten, Committed, Counters, Lane, LaneFn, LaneOutcome, Loaded, Look, NewVersion, NextDue, Peer, Published,
    Purpose, Store, StoreError, TaskStateKey, Wake, WorkerInfo, check,
};

use crate::checkpoint::{Checkpointer, LogWatch};
use crate::load::arguments;
use crate::lock::FileLock;
use crate::logs::LogReads;
use crate::migrate;
use crate::read_pool::ReadPool;
use crate::reader::SqliteReader;
use crate::writer::{Write, Writer};
use crate::{batch, connect, error, lane, load, rows, sql};

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// Connections for people's and programs' reads.
    pub readers: usize,
    /// Longest that one read may last.
    pub read_limit: Duration,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { readers: 4, read_limit: Duration::from_secs(2) }
    }
}

/// Connections that the engine loads runs with, and the longest that one load may last.
const ENGINE_READERS: usize = 2;
const ENGINE_READ_LIMIT: Duration = Duration::from_secs(30);
/// Hints that may wait for a slow listener before it is told to look at everything.
const WAKES: usize = 256;

/// The one process's store on a file.
pub struct SqliteStore {
    path: PathBuf,
    pub(crate) writer: Writer,
    pub(crate) loads: Arc<ReadPool>,
    pub(crate) reads: Arc<ReadPool>,
    facts: Arc<FactsCache>,
    pub(crate) counters: Arc<Counters>,
    wakes: broadcast::Sender<Wake>,
    /// Workers registered through this handle: alive as long as it is.
    registered: Mutex<HashSet<WorkerNo>>,
    checkpointer: tokio::sync::Mutex<Option<Checkpointer>>,
    lock: FileLock,
}

impl SqliteStore {
    /// Opens a file as its owner: makes it if it is missing, takes its lock, brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Held`] if another process owns it, [`StoreError::Schema`] if it was made by a newer build,
    /// [`StoreError::Unavailable`] if it cannot be made or opened.
    pub async fn open(path: impl AsRef<Path>, options: OpenOptions) -> Result<Self, StoreError> {
        let path = path.as_ref().to_path_buf();
        let lock = own(&path)?;
        let mut connection = connect::writer(&path).await?;
        migrate::run(&mut connection).await?;
        connect::install_commit(&mut connection).await?;
        let counters = Arc::new(Counters::default());
        let (wakes, _) = broadcast::channel(WAKES);
        let log = Arc::new(LogWatch::default());
        let checkpointer = Checkpointer::start(connect::writer(&path).await?, Arc::clone(&log));
        let writer = Writer::start(connection, Arc::clone(&counters), wakes.clone(), log);
        Ok(Self {
            writer,
            loads: ReadPool::new(path.clone(), ENGINE_READERS, ENGINE_READ_LIMIT),
            reads: ReadPool::new(path.clone(), options.readers, options.read_limit),
            path,
            facts: Arc::default(),
            counters,
            wakes,
            registered: Mutex::new(HashSet::new()),
            checkpointer: tokio::sync::Mutex::new(Some(checkpointer)),
            lock,
        })
    }

    /// Brings a file's schema up to date without opening a store; says which migrations it carried out.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn migrate(path: impl AsRef<Path>) -> Result<Vec<i64>, StoreError> {
        let path = path.as_ref();
        let lock = own(path)?;
        let mut connection = connect::writer(path).await?;
        let carried_out = migrate::run(&mut connection).await?;
        sqlx::Connection::close(connection).await.map_err(|error| error::plain(&error))?;
        lock.release();
        Ok(carried_out)
    }

    /// Which migrations a file has. Does not need the lock; all are missing if there is no file.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the file cannot be read.
    pub async fn migration_status(path: impl AsRef<Path>) -> Result<Vec<MigrationStatus>, StoreError> {
        crate::reader::migration_status(path.as_ref()).await
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Readers of this file's history, with connections of their own.
    pub fn reader(&self) -> SqliteReader {
        SqliteReader::over(
            Arc::clone(&self.reads),
            Arc::clone(&self.counters),
            self.writer.clone(),
            Arc::clone(&self.facts),
        )
    }

    pub(crate) fn facts_cache(&self) -> &FactsCache {
        &self.facts
    }

    pub(crate) async fn write(
        &self,
        purpose: Purpose,
        sql: &'static str,
        arguments: SqliteArguments,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let write = Write { sql, arguments, purpose, single: true, wrote: |rows| !rows.is_empty() };
        self.writer.write(write).await
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }

    pub(crate) fn log_reads(&self) -> LogReads<'_> {
        LogReads { pool: &self.reads, counters: &self.counters }
    }

    pub(crate) fn wake(&self, wake: Wake) {
        // No receiver: nobody waits for hints.
        let _ = self.wakes.send(wake);
    }

    fn registered(&self) -> std::sync::MutexGuard<'_, HashSet<WorkerNo>> {
        self.registered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn own(path: &Path) -> Result<FileLock, StoreError> {
    connect::prepare_file(path)?;
    FileLock::take(path)
}

/// The store's clock.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn lease() -> i64 {
    now().as_millis().saturating_add(LEASE_MS)
}

fn work_rows(found: &[SqliteRow]) -> Result<Vec<WorkRow>, StoreError> {
    let mut work = found.iter().map(rows::work).collect::<Result<Vec<_>, _>>()?;
    work.sort_by(|a, b| (a.rank, a.run_id, &a.dispatch.key).cmp(&(b.rank, b.run_id, &b.dispatch.key)));
    Ok(work)
}

fn one<'r, T>(found: &'r [SqliteRow], column: usize) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    let row = found.first().ok_or_else(|| StoreError::Other("a statement returned no row".to_owned()))?;
    row.try_get(column).map_err(|error| error::plain(&error))
}

pub(crate) fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("lists of text and ids are always JSON")
}

#[async_trait]
impl Store for SqliteStore {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    async fn load(&self, runs: &[(RunId, Option<(u64, Stamp)>)]) -> Result<Vec<Loaded>, StoreError> {
        let runs = runs.to_vec();
        self.counters.round_trip(Purpose::Engine);
        self.loads
            .read(move |connection| {
                Box::pin(async move {
                    let mut loaded = Vec::with_capacity(runs.len());
                    for (run, known) in runs {
                        loaded.push(load::load(connection, run, known).await?);
                    }
                    Ok(loaded)
                })
            })
            .await
    }

    async fn commit(&self, batch: &Batch) -> Result<Committed, StoreError> {
        self.writer.commit(batch::encode(batch)?).await
    }

    async fn commit_locked(
        &self,
        run: RunId,
        lane: Lane,
        at: Timestamp,
        decide: LaneFn,
    ) -> Result<LaneOutcome, StoreError> {
        self.writer.lane(lane::Asked { run, lane, at, decide }).await
    }

    async fn claim(
        &self,
        worker_no: WorkerNo,
        queue: &str,
        attempts: &[AttemptId],
        at: Timestamp,
    ) -> Result<Vec<WorkRow>, StoreError> {
        if attempts.is_empty() {
            return Ok(Vec::new());
        }
        let arguments = arguments(|a| {
            a.add(worker_no.0)?;
            a.add(queue)?;
            a.add(json(&attempts))?;
            a.add(at.as_millis())
        })?;
        work_rows(&self.write(Purpose::Poll, sql::CLAIM, arguments).await?)
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let arguments = arguments(|a| {
            a.add(now.as_millis())?;
            a.add(i64::from(limit))
        })?;
        let moved = self.write(Purpose::Poll, sql::DUE, arguments).await?;
        let mut queues = HashSet::new();
        for row in &moved {
            let queue: String = row.try_get(0).map_err(|error| error::plain(&error))?;
            if queues.insert(queue.clone()) {
                self.wake(Wake::Queue(queue));
            }
        }
        Ok(u32::try_from(moved.len()).unwrap_or(u32::MAX))
    }

    async fn outcome(&self, run: RunId, version: u64, stamp: Stamp) -> Result<bool, StoreError> {
        let version = rows::to_i64(version)?;
        let arguments = arguments(|a| {
            a.add(run.to_string())?;
            a.add(version)?;
            a.add(stamp.to_string())
        })?;
        // Asked of the writer, behind whatever of that commit may still be under way.
        let write = Write { sql: sql::OUTCOME, arguments, purpose: Purpose::Engine, single: true, wrote: |_| false };
        Ok(!self.writer.write(write).await?.is_empty())
    }

    async fn register(&self, info: &WorkerInfo) -> Result<WorkerNo, StoreError> {
        let arguments = arguments(|a| {
            a.add(info.name.as_str())?;
            a.add(info.host.as_str())?;
            a.add(i64::from(info.pid))?;
            a.add(info.build.as_str())?;
            a.add(json(&info.queues))?;
            a.add(i64::from(info.slots))?;
            a.add(lease())
        })?;
        let worker_no = WorkerNo(one(&self.write(Purpose::Heartbeat, sql::REGISTER, arguments).await?, 0)?);
        self.registered().insert(worker_no);
        Ok(worker_no)
    }

    async fn beat(&self, worker_no: WorkerNo) -> Result<Beaten, StoreError> {
        let renew = arguments(|a| {
            a.add(worker_no.0)?;
            a.add(lease())
        })?;
        let active = !self.write(Purpose::Heartbeat, sql::RENEW, renew).await?.is_empty();
        let executing = self.executing(worker_no).await?;
        Ok(Beaten { executing, active, now: now() })
    }

    async fn leave(&self, worker_no: WorkerNo) -> Result<(), StoreError> {
        self.write(Purpose::Heartbeat, sql::LEAVE, arguments(|a| a.add(worker_no.0))?).await?;
        self.registered().remove(&worker_no);
        Ok(())
    }

    async fn peers(&self) -> Result<Vec<Peer>, StoreError> {
        self.counters.round_trip(Purpose::Heartbeat);
        let none = SqliteArguments::default();
        let found = self
            .loads
            .read(move |connection| Box::pin(async move { load::fetch(connection, sql::PEERS, none).await }))
            .await?;
        let mut peers = found.iter().map(rows::peer).collect::<Result<Vec<_>, _>>()?;
        let registered = self.registered();
        for peer in &mut peers {
            // This process holds the file's lock: whoever registered through another handle is no longer there.
            peer.alive = Some(registered.contains(&peer.worker_no));
        }
        Ok(peers)
    }

    async fn look(&self, _worker_no: WorkerNo) -> Result<Look, StoreError> {
        // This process owns the file for as long as this handle lives.
        Ok(Look { session: 1, peers: self.peers().await?, now: now(), certain: true })
    }

    async fn executing(&self, worker_no: WorkerNo) -> Result<Vec<WorkRow>, StoreError> {
        let own = arguments(|a| a.add(worker_no.0))?;
        self.counters.round_trip(Purpose::Heartbeat);
        let rows = self
            .loads
            .read(move |connection| Box::pin(async move { load::fetch(connection, sql::OWN_ROWS, own).await }))
            .await?;
        work_rows(&rows)
    }

    async fn suspect(&self, seen: &Peer) -> Result<bool, StoreError> {
        let arguments = arguments(|a| {
            a.add(seen.worker_no.0)?;
            a.add(rows::worker_state(seen.state))?;
            a.add(seen.lease_until.as_millis())
        })?;
        Ok(!self.write(Purpose::Heartbeat, sql::SUSPECT, arguments).await?.is_empty())
    }

    async fn condemn(&self, seen: &Peer) -> Result<bool, StoreError> {
        let arguments = arguments(|a| {
            a.add(seen.worker_no.0)?;
            a.add(rows::worker_state(seen.state))?;
            a.add(seen.lease_until.as_millis())
        })?;
        Ok(!self.write(Purpose::Heartbeat, sql::CONDEMN, arguments).await?.is_empty())
    }

    async fn next_due(&self, queues: &[String]) -> Result<NextDue, StoreError> {
        let queues = arguments(|a| a.add(json(&queues)))?;
        self.counters.round_trip(Purpose::Poll);
        self.loads
            .read(move |connection| {
                Box::pin(async move {
                    let found = load::fetch(connection, sql::NEXT_DUE, queues).await?;
                    let timer: Option<i64> = one(&found, 0)?;
                    Ok(NextDue { timer: timer.map(Timestamp::from_millis), ready: one(&found, 1)? })
                })
            })
            .await
    }

    fn wakes(&self) -> BoxStream<'static, Wake> {
        let receiver = self.wakes.subscribe();
        futures::stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(wake) => Some((wake, receiver)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((Wake::Everything, receiver)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })
        .boxed()
    }

    async fn publish(&self, version: &NewVersion, at: Timestamp) -> Result<Published, StoreError> {
        for (what, text) in [("workflow", &version.workflow), ("source", &version.source), ("path", &version.path)] {
            check::text(what, text, usize::MAX)?;
        }
        let arguments = arguments(|a| {
            a.add(version.workflow.as_str())?;
            a.add(version.sha256.as_str())?;
            a.add(version.source.as_str())?;
            a.add(version.path.as_str())?;
            a.add(version.compiled.as_str())?;
            a.add(at.as_millis())
        })?;
        let write = Write {
            sql: sql::PUBLISH,
            arguments,
            purpose: Purpose::Admin,
            single: false,
            wrote: |rows| rows.len() > 1,
        };
        let found = self.writer.write(write).await?;
        let last = found.get(found.len().saturating_sub(1)..).unwrap_or_default();
        Ok(Published { workflow_id: WorkflowId(one(last, 0)?), version_id: VersionId(one(last, 1)?) })
    }

    async fn put_task_state(
        &self,
        at: &TaskStateKey,
        by: AttemptId,
        value: &str,
    ) -> Result<Option<String>, StoreError> {
        check::kept_value(&at.name, value)?;
        let arguments = arguments(|a| {
            key_arguments(a, at)?;
            a.add(value)?;
            a.add(by.to_string())
        })?;
        let put = self.write(Purpose::Admin, sql::PUT_TASK_STATE, arguments).await?;
        if put.is_empty() { Ok(None) } else { one(&put, 0).map(Some) }
    }

    async fn task_state(&self, at: &TaskStateKey) -> Result<Option<String>, StoreError> {
        let arguments = arguments(|a| key_arguments(a, at))?;
        self.counters.round_trip(Purpose::Admin);
        let found = self
            .loads
            .read(move |connection| Box::pin(async move { load::fetch(connection, sql::TASK_STATE, arguments).await }))
            .await?;
        if found.is_empty() { Ok(None) } else { one(&found, 0).map(Some) }
    }

    async fn shared_state(&self, scope: &str, key: &str) -> Result<Option<(String, u64)>, StoreError> {
        let arguments = arguments(|a| {
            a.add(scope)?;
            a.add(key)
        })?;
        self.counters.round_trip(Purpose::Admin);
        let found = self
            .loads
            .read(move |connection| {
                Box::pin(async move { load::fetch(connection, sql::SHARED_STATE, arguments).await })
            })
            .await?;
        if found.is_empty() {
            return Ok(None);
        }
        let version: i64 = one(&found, 1)?;
        Ok(Some((one(&found, 0)?, u64::try_from(version).unwrap_or(0))))
    }

    async fn set_shared_state(
        &self,
        scope: &str,
        key: &str,
        value: &str,
        expected: u64,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        check::text("scope", scope, usize::MAX)?;
        check::kept_value(key, value)?;
        let expected = rows::to_i64(expected)?;
        let arguments = arguments(|a| {
            a.add(scope)?;
            a.add(key)?;
            a.add(value)?;
            a.add(expected)?;
            a.add(at.as_millis())
        })?;
        let sql = if expected == 0 { sql::NEW_SHARED_STATE } else { sql::SET_SHARED_STATE };
        Ok(!self.write(Purpose::Admin, sql, arguments).await?.is_empty())
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    async fn bare_commit(&self) -> Result<(), StoreError> {
        let arguments = arguments(|a| a.add(1_i64))?;
        let write = Write { sql: sql::BARE_COMMIT, arguments, purpose: Purpose::Bench, single: true, wrote: |_| true };
        self.writer.write(write).await.map(drop)
    }

    async fn durable(&self) -> Result<Result<(), String>, StoreError> {
        let none = SqliteArguments::default();
        let write =
            Write { sql: sql::DURABLE, arguments: none, purpose: Purpose::Admin, single: true, wrote: |_| false };
        let found = self.writer.write(write).await?;
        let (synchronous, journal): (i64, String) = (one(&found, 0)?, one(&found, 1)?);
        Ok(match (synchronous, journal.as_str()) {
            (2.., "wal") => Ok(()),
            (2.., journal) => Err(format!("journal_mode is {journal}, not wal")),
            (synchronous, _) => Err(format!("synchronous is {synchronous}, below FULL (2)")),
        })
    }

    async fn close(&self) {
        self.loads.close().await;
        self.reads.close().await;
        if let Some(checkpointer) = self.checkpointer.lock().await.take() {
            checkpointer.close().await;
        }
        self.writer.close().await;
        self.lock.release();
    }
}

fn key_arguments(a: &mut SqliteArguments, at: &TaskStateKey) -> Result<(), sqlx::error::BoxDynError> {
    a.add(at.run_id.to_string())?;
    a.add(at.key.task.as_str())?;
    a.add(at.key.map_index.0)?;
    a.add(i64::from(at.generation))?;
    a.add(at.name.as_str())
}
