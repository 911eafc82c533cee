//! The one connection that writes, and the task that owns it. Nobody else can begin, leave open or cut a transaction:
//! callers send a request and wait for its answer; if they go away, the request is carried out all the same.
//!
//! Requests that gather while a commit is under way share the next one (engine.md F28): each in its own savepoint, one
//! fsync for all. A hop that comes alone is one autocommit statement.

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use sqlx::Executor;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use tokio::sync::{broadcast, mpsc, oneshot};
use updraft_store::{Committed, Counters, LaneOutcome, Purpose, StoreError, Wake};

use crate::batch::{self, Encoded};
use crate::checkpoint::{LogWatch, PASSIVE};
use crate::{error, lane, rows};

/// At most this many requests share a commit.
const GROUP: usize = 64;
/// Requests that may wait; more callers wait for a place.
const QUEUE: usize = 1024;
/// The checkpointer looks at the log each time this many commits were made.
const COMMITS_PER_LOOK: u32 = 64;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

enum Request {
    Commit(Encoded, Reply<Committed>),
    Lane(lane::Asked, Reply<LaneOutcome>),
    Write(Write, Reply<Vec<SqliteRow>>),
    Job(Job, Purpose, Reply<()>),
    Close(oneshot::Sender<()>),
}

/// Several statements with decisions between them; says whether they wrote. Undone if it fails.
type Job =
    Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<bool, StoreError>> + Send + 'static>;

/// A write that is no batch and no lane: one statement, or a script.
pub(crate) struct Write {
    pub(crate) sql: &'static str,
    pub(crate) arguments: SqliteArguments,
    pub(crate) purpose: Purpose,
    /// One statement, which undoes itself if it fails and is its own transaction if it comes alone.
    pub(crate) single: bool,
    /// What it returns says whether it wrote.
    pub(crate) wrote: fn(&[SqliteRow]) -> bool,
}

/// Sends requests to the writer.
#[derive(Clone)]
pub(crate) struct Writer {
    requests: mpsc::Sender<Request>,
}

impl Writer {
    /// Starts the task that owns the connection.
    pub(crate) fn start(
        connection: SqliteConnection,
        counters: Arc<Counters>,
        wakes: broadcast::Sender<Wake>,
        log: Arc<LogWatch>,
    ) -> Self {
        let (requests, received) = mpsc::channel(QUEUE);
        let owner = Owner { connection, counters, wakes, log, commits: 0 };
        tokio::spawn(owner.serve(received));
        Self { requests }
    }

    pub(crate) async fn commit(&self, encoded: Encoded) -> Result<Committed, StoreError> {
        self.ask(|reply| Request::Commit(encoded, reply)).await
    }

    pub(crate) async fn lane(&self, asked: lane::Asked) -> Result<LaneOutcome, StoreError> {
        self.ask(|reply| Request::Lane(asked, reply)).await
    }

    pub(crate) async fn write(&self, write: Write) -> Result<Vec<SqliteRow>, StoreError> {
        self.ask(|reply| Request::Write(write, reply)).await
    }

    /// Lets `job` work on the connection in a savepoint of its own, and answers what it made once that is durable. It
    /// says besides whether it wrote.
    pub(crate) async fn job<T, F>(&self, purpose: Purpose, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<(T, bool), StoreError>> + Send + 'static,
    {
        let made = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&made);
        let job: Job = Box::new(move |connection| {
            Box::pin(async move {
                let (value, wrote) = job(connection).await?;
                *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                Ok(wrote)
            })
        });
        self.ask(|reply| Request::Job(job, purpose, reply)).await?;
        let value = made.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.ok_or_else(|| StoreError::Other("a job of the store's writer made nothing".to_owned()))
    }

    /// Ends the task after what was asked before.
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.requests.send(Request::Close(done)).await.is_ok() {
            // An error means that it ended already, which is what was asked for.
            let _ = closed.await;
        }
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(request(reply))
            .await
            .map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))?;
        answer.await.map_err(|_| StoreError::UnknownOutcome("the store's writer ended".to_owned()))?
    }
}

/// A request that was carried out and waits for the commit.
enum Done {
    Commit(Reply<Committed>, Result<Committed, StoreError>),
    Lane(Reply<LaneOutcome>, Result<LaneOutcome, StoreError>),
    Write(Reply<Vec<SqliteRow>>, Result<Vec<SqliteRow>, StoreError>),
    Job(Reply<()>, Result<(), StoreError>),
}

impl Done {
    /// Answers. A caller that went away has no use for it.
    fn answer(self, committed: Result<(), &sqlx::Error>) {
        fn send<T>(reply: Reply<T>, result: Result<T, StoreError>, committed: Result<(), &sqlx::Error>) {
            let _ = reply.send(result.and_then(|value| committed.map(|()| value).map_err(error::of_write)));
        }
        match self {
            Self::Commit(reply, result) => send(reply, result, committed),
            Self::Lane(reply, result) => send(reply, result, committed),
            Self::Write(reply, result) => send(reply, result, committed),
            Self::Job(reply, result) => send(reply, result, committed),
        }
    }
}

struct Owner {
    connection: SqliteConnection,
    counters: Arc<Counters>,
    wakes: broadcast::Sender<Wake>,
    log: Arc<LogWatch>,
    commits: u32,
}

impl Owner {
    async fn serve(mut self, mut received: mpsc::Receiver<Request>) {
        let mut group = Vec::with_capacity(GROUP);
        while received.recv_many(&mut group, GROUP).await > 0 {
            let mut closing = None;
            let mut work = Vec::with_capacity(group.len());
            for request in group.drain(..) {
                match request {
                    Request::Close(done) => closing = Some(done),
                    Request::Commit(..) | Request::Lane(..) | Request::Write(..) | Request::Job(..) => {
                        work.push(request);
                    }
                }
            }
            self.carry_out(work).await;
            if self.log.is_to_finish()
                && let Err(error) = self.connection.execute(PASSIVE).await
            {
                tracing::warn!(%error, "the rest of the store's write-ahead log could not be copied; it goes on growing");
            }
            if let Some(done) = closing {
                received.close();
                if let Err(error) = sqlx::Connection::close(self.connection).await {
                    tracing::warn!(%error, "the store's writer did not close in good order");
                }
                // Nobody may be waiting any more.
                let _ = done.send(());
                return;
            }
        }
    }

    async fn carry_out(&mut self, mut work: Vec<Request>) {
        if work.len() == 1 {
            match work.pop() {
                Some(Request::Commit(encoded, reply)) => {
                    let (result, wrote) = self.commit(encoded).await;
                    self.count(wrote);
                    Done::Commit(reply, result).answer(Ok(()));
                }
                Some(Request::Write(write, reply)) if write.single => {
                    let (result, wrote) = self.statement(write).await;
                    self.count(wrote);
                    Done::Write(reply, result).answer(Ok(()));
                }
                Some(other) => self.together(vec![other]).await,
                None => {}
            }
        } else if !work.is_empty() {
            self.together(work).await;
        }
    }

    /// One transaction for all; a request that fails is undone alone.
    async fn together(&mut self, work: Vec<Request>) {
        if let Err(failed) = self.begin().await {
            for request in work {
                refuse(request, &failed);
            }
            return;
        }
        let mut done = Vec::with_capacity(work.len());
        let mut wakes = Vec::new();
        let mut purpose = None;
        for request in work {
            let wrote = match request {
                Request::Commit(encoded, reply) => {
                    let (result, wrote) = self.commit(encoded).await;
                    done.push(Done::Commit(reply, result));
                    wrote
                }
                Request::Lane(asked, reply) => {
                    let (result, wrote) = self.lane(asked, &mut wakes).await;
                    done.push(Done::Lane(reply, result));
                    wrote
                }
                Request::Write(write, reply) => {
                    let (result, wrote) = self.write(write).await;
                    done.push(Done::Write(reply, result));
                    wrote
                }
                Request::Job(job, of, reply) => {
                    let (result, wrote) = self.job(job, of).await;
                    done.push(Done::Job(reply, result));
                    wrote
                }
                Request::Close(_) => None,
            };
            purpose = purpose.into_iter().chain(wrote).min();
        }
        let committed = self.connection.execute("COMMIT").await;
        if let Err(failed) = &committed {
            self.roll_back("ROLLBACK").await;
            for done in done {
                done.answer(Err(failed));
            }
            return;
        }
        self.count(purpose);
        for done in done {
            done.answer(Ok(()));
        }
        for wake in wakes {
            // No receiver: nobody waits for hints.
            let _ = self.wakes.send(wake);
        }
    }

    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        const BEGIN: &str = "BEGIN IMMEDIATE";
        match self.connection.execute(BEGIN).await {
            Ok(_) => Ok(()),
            Err(error) => {
                // The guard behind the guards: if ever a transaction was left open, it ends here and nobody inherits it.
                tracing::error!(%error, "a transaction could not begin; the writer is rolled back");
                self.roll_back("ROLLBACK").await;
                self.connection.execute(BEGIN).await.map(drop)
            }
        }
    }

    /// A batch: its statement undoes itself if it is refused or fails.
    async fn commit(&mut self, encoded: Encoded) -> (Result<Committed, StoreError>, Option<Purpose>) {
        self.counters.round_trip(Purpose::Engine);
        let query = sqlx::query_with(encoded.sql(), encoded.arguments.clone());
        match self.connection.fetch_all(query).await {
            Ok(found) => {
                let picked = found.iter().map(rows::work).collect::<Result<Vec<_>, _>>();
                (picked.map(|picked| Committed::Applied { picked }), Some(Purpose::Engine))
            }
            Err(refused) if error::is_refusal(&refused) => {
                self.counters.round_trip(Purpose::Engine);
                (batch::refusal(&mut self.connection, encoded.arguments).await, None)
            }
            Err(failed) => (Err(error::of_write(&failed)), None),
        }
    }

    async fn lane(
        &mut self,
        asked: lane::Asked,
        wakes: &mut Vec<Wake>,
    ) -> (Result<LaneOutcome, StoreError>, Option<Purpose>) {
        self.counters.round_trip(Purpose::Engine);
        if let Err(failed) = self.connection.execute("SAVEPOINT request").await {
            return (Err(error::plain(&failed)), None);
        }
        let did = lane::perform(&mut self.connection, asked).await;
        match did {
            Ok(lane::Did { outcome: LaneOutcome::Applied, wakes: more }) => {
                wakes.extend(more);
                (self.keep().await.map(|()| LaneOutcome::Applied), Some(Purpose::Engine))
            }
            Ok(lane::Did { outcome, .. }) => {
                self.roll_back("ROLLBACK TO request; RELEASE request").await;
                (Ok(outcome), None)
            }
            Err(failed) => {
                self.roll_back("ROLLBACK TO request; RELEASE request").await;
                (Err(failed), None)
            }
        }
    }

    async fn statement(&mut self, write: Write) -> (Result<Vec<SqliteRow>, StoreError>, Option<Purpose>) {
        self.counters.round_trip(write.purpose);
        match self.connection.fetch_all(sqlx::query_with(write.sql, write.arguments)).await {
            Ok(rows) => {
                let purpose = (write.wrote)(&rows).then_some(write.purpose);
                (Ok(rows), purpose)
            }
            Err(failed) => (Err(error::of_write(&failed)), None),
        }
    }

    async fn write(&mut self, write: Write) -> (Result<Vec<SqliteRow>, StoreError>, Option<Purpose>) {
        if write.single {
            return self.statement(write).await;
        }
        if let Err(failed) = self.connection.execute("SAVEPOINT request").await {
            return (Err(error::plain(&failed)), None);
        }
        match self.statement(write).await {
            (Ok(rows), purpose) => (self.keep().await.map(|()| rows), purpose),
            (Err(failed), _) => {
                self.roll_back("ROLLBACK TO request; RELEASE request").await;
                (Err(failed), None)
            }
        }
    }

    async fn job(&mut self, job: Job, purpose: Purpose) -> (Result<(), StoreError>, Option<Purpose>) {
        self.counters.round_trip(purpose);
        if let Err(failed) = self.connection.execute("SAVEPOINT request").await {
            return (Err(error::plain(&failed)), None);
        }
        match job(&mut self.connection).await {
            Ok(wrote) => (self.keep().await, wrote.then_some(purpose)),
            Err(failed) => {
                self.roll_back("ROLLBACK TO request; RELEASE request").await;
                (Err(failed), None)
            }
        }
    }

    async fn keep(&mut self) -> Result<(), StoreError> {
        self.connection.execute("RELEASE request").await.map(drop).map_err(|error| error::of_write(&error))
    }

    async fn roll_back(&mut self, sql: &'static str) {
        if let Err(error) = self.connection.execute(sql).await {
            // SQLite has already ended the whole transaction (disk full, I/O error); the COMMIT that follows will say so.
            tracing::warn!(%error, "there was no transaction left to roll back");
        }
    }

    fn count(&mut self, wrote: Option<Purpose>) {
        let Some(purpose) = wrote else { return };
        self.counters.committed(purpose);
        self.commits += 1;
        if self.commits >= COMMITS_PER_LOOK {
            self.commits = 0;
            self.log.grown();
        }
    }
}

fn refuse(request: Request, failed: &sqlx::Error) {
    match request {
        Request::Commit(_, reply) => Done::Commit(reply, Err(error::plain(failed))),
        Request::Lane(_, reply) => Done::Lane(reply, Err(error::plain(failed))),
        Request::Write(_, reply) => Done::Write(reply, Err(error::plain(failed))),
        Request::Job(_, _, reply) => Done::Job(reply, Err(error::plain(failed))),
        Request::Close(_) => return,
    }
    .answer(Ok(()));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use updraft_model::id::{RunId, Stamp, VersionId, WorkerNo, WorkflowId};
    use updraft_model::record::{RunFacts, RunProjection};
    use updraft_model::state::{RunState, Trigger};
    use updraft_model::time::{DataInterval, Timestamp};
    use updraft_store::{Batch, Expected, RunCommit};
    use uuid::Uuid;

    use super::*;
    use crate::{connect, migrate};

    fn new_run() -> Batch {
        let (run_id, at) = (RunId(Uuid::now_v7()), Timestamp::from_millis(1));
        let facts = RunFacts {
            run_id,
            workflow_id: WorkflowId(1),
            version_id: VersionId(1),
            run_key: run_id.to_string(),
            trigger: Trigger::Manual,
            logical_at: at,
            interval: DataInterval { start: at, end: at },
            conf: "{}".to_owned(),
            queue: "q".to_owned(),
            priority: 0,
            created_at: at,
        };
        let run =
            RunProjection { state: RunState::Queued, cause: None, generation: 0, started_at: None, ended_at: None };
        let commit = RunCommit {
            run_id,
            expected: Expected::New(Box::new(facts)),
            stamp: Stamp(Uuid::new_v4()),
            actor: "test".to_owned(),
            events: Vec::new(),
            run,
            ended: Vec::new(),
            task_runs: Vec::new(),
            cleared: Vec::new(),
            work: Vec::new(),
            removed: Vec::new(),
        };
        Batch { worker_no: WorkerNo(1), at, runs: vec![commit], pick: None }
    }

    async fn writer(began: &Arc<AtomicU64>) -> (tempfile::TempDir, Writer, Arc<Counters>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store.db");
        connect::prepare_file(&path).expect("make the file");
        let mut connection = connect::writer(&path).await.expect("open");
        migrate::run(&mut connection).await.expect("migrate");
        connect::install_commit(&mut connection).await.expect("install");
        let seen = Arc::clone(began);
        connection.lock_handle().await.expect("the handle").set_commit_hook(move || {
            seen.fetch_add(1, Ordering::Relaxed);
            true
        });
        let counters = Arc::new(Counters::default());
        let writer = Writer::start(connection, Arc::clone(&counters), broadcast::channel(1).0, Arc::default());
        (folder, writer, counters)
    }

    /// engine.md §5: SQLite's own commit hook counts what the counters count.
    #[tokio::test]
    async fn the_commit_hook_agrees_with_the_counters() {
        let hooked = Arc::new(AtomicU64::new(0));
        let (_folder, writer, counters) = writer(&hooked).await;
        for _ in 0..10 {
            writer.commit(batch::encode(&new_run()).expect("encode")).await.expect("commit");
        }
        assert_eq!((counters.commits(Purpose::Engine), hooked.load(Ordering::Relaxed)), (10, 10));
        writer.close().await;
    }

    /// F28: what comes while a commit is under way shares the next one, and a bad request is undone alone.
    #[tokio::test]
    async fn requests_that_gather_share_one_commit() {
        let hooked = Arc::new(AtomicU64::new(0));
        let (_folder, writer, counters) = writer(&hooked).await;
        let write = |sql| {
            let arguments = SqliteArguments::default();
            writer.write(Write {
                sql,
                arguments,
                purpose: Purpose::Admin,
                single: false,
                wrote: |rows| !rows.is_empty(),
            })
        };
        let taken = new_run();
        writer.commit(batch::encode(&taken).expect("encode")).await.expect("commit");
        // This test's one thread sends all of these before the writer's task runs.
        let (good, bad, ugly, again) = tokio::join!(
            writer.commit(batch::encode(&new_run()).expect("encode")),
            write(
                "INSERT INTO shared_state VALUES ('s', 'a', '1', 1, 1) RETURNING key; INSERT INTO run_log DEFAULT VALUES"
            ),
            write("INSERT INTO shared_state VALUES ('s', 'b', '1', 1, 1) RETURNING key"),
            writer.commit(batch::encode(&taken).expect("encode")),
        );
        assert!(matches!(good, Ok(Committed::Applied { .. })), "{good:?}");
        assert!(matches!(bad, Err(StoreError::Rejected(_))));
        assert_eq!(ugly.map(|rows| rows.len()).expect("the second write"), 1);
        assert!(matches!(again, Ok(Committed::Refused { .. })), "{again:?}");
        assert_eq!(hooked.load(Ordering::Relaxed), 2, "one commit for four requests");
        assert_eq!((counters.commits(Purpose::Engine), counters.commits(Purpose::Admin)), (2, 0));
        let kept = write("SELECT key FROM shared_state").await.expect("read");
        assert_eq!(kept.len(), 1, "the bad request left a row behind");
        writer.close().await;
    }
}
