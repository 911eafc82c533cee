//! What the engine asks of a store, what history readers ask of it, and the suites that every store must pass.
//!
//! No SQL lives here, and no rule lives in a store: rules, admission, retry and trigger logic are the model's.
//! A store writes what it is given if what was expected is still true, atomically, and says so otherwise.
//!
//! Instants are given by the caller (`at`), except leases, which use the store's own clock.
#![warn(missing_docs)]

pub mod accounts;
pub mod batch;
pub mod check;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod count;
#[cfg(feature = "conformance")]
pub mod differential;
pub mod error;
pub mod history;
pub mod idempotency;
pub mod logs;
pub mod memory;
pub mod read;
pub mod scheduling;
pub mod schema;
pub mod upkeep;

use async_trait::async_trait;
use futures::stream::BoxStream;
use updraft_model::id::{AttemptId, RunId, Stamp, TaskKey, WorkerNo};
use updraft_model::record::WorkRow;
use updraft_model::time::Timestamp;

pub use accounts::Accounts;
pub use batch::{Batch, Committed, Expected, Lane, Loaded, LoadedRun, Locked, LogEntry, Pick, Refusal, RunCommit};
pub use count::{Counters, Purpose};
pub use error::StoreError;
pub use history::History;
pub use idempotency::Idempotency;
pub use logs::Logs;
pub use memory::MemoryStore;
pub use read::Reader;
pub use scheduling::Scheduling;
pub use upkeep::Upkeep;

/// The decision made under a run's lock: what to write, or nothing.
pub type LaneFn = Box<dyn FnOnce(Locked) -> Option<RunCommit> + Send>;

/// What a lane did.
#[derive(Debug, Clone, PartialEq)]
pub enum LaneOutcome {
    /// The decision was written.
    Applied,
    /// The decision was to write nothing; everything was rolled back.
    Nothing,
    /// The decision's fences did not hold; nothing was written.
    Fenced(Vec<TaskKey>),
    /// No such run.
    Missing,
}

/// A worker as it announces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerInfo {
    /// `host/pid` or what the user calls it.
    pub name: String,
    /// Host name.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Version of this build.
    pub build: String,
    /// Queues it serves.
    pub queues: Vec<String>,
    /// Attempts it runs at one time.
    pub slots: u32,
}

/// Answer to a heartbeat.
#[derive(Debug, Clone, PartialEq)]
pub struct Beaten {
    /// The worker's rows in place `x`: what it must be running (F7). A set `cancel_at` asks it to stop.
    pub executing: Vec<WorkRow>,
    /// False: others have declared it dead; stop the bodies.
    pub active: bool,
    /// The store's clock.
    pub now: Timestamp,
}

/// A worker as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its number.
    pub worker_no: WorkerNo,
    /// Who it is.
    pub info: WorkerInfo,
    /// Where it is.
    pub state: WorkerState,
    /// End of its lease by the store's clock.
    pub lease_until: Timestamp,
    /// Evidence of life: its lock is held (PostgreSQL), the file lock is held by a live process (SQLite);
    /// `None` where there is no such evidence.
    pub alive: Option<bool>,
    /// Attempts that it executes, as the store knows it.
    pub busy: u32,
}

impl Peer {
    /// When it was last heard of, by the store's clock.
    pub fn last_seen(&self) -> Timestamp {
        self.lease_until - std::time::Duration::from_millis(schema::LEASE_MS.unsigned_abs())
    }
}

impl Peer {
    /// What a person should know about how this worker is watched; `None` if there is nothing to say.
    pub fn health(&self, store_kind: &str) -> Option<String> {
        let name = &self.info.name;
        match (self.state, self.alive) {
            (WorkerState::Suspect, _) => {
                Some(format!("worker {name} gives no sign of life since {}: it gets no work", self.last_seen()))
            }
            (WorkerState::Active | WorkerState::Draining, None) if store_kind == "postgres" => Some(format!(
                "a pooler stands between worker {name} and PostgreSQL: its death is noticed by its lease only (within 50 s); \
                 connect it to the server directly for 10 s"
            )),
            (WorkerState::Dead | WorkerState::Gone, _) if self.busy > 0 => {
                Some(format!("worker {name} is gone, and {} of its attempts are being taken over", self.busy))
            }
            (WorkerState::Active | WorkerState::Draining | WorkerState::Dead | WorkerState::Gone, _) => None,
        }
    }
}

/// A look at all workers through the session of one of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Changes whenever the session that looks is a new one: only what one unbroken session has seen is evidence (F35).
    pub session: u64,
    /// As [`Store::peers`].
    pub peers: Vec<Peer>,
    /// The store's clock.
    pub now: Timestamp,
    /// `alive: Some(false)` is proof of death, not mere absence (one process owns the store).
    pub certain: bool,
}

/// Where a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerState {
    /// Takes work.
    Active,
    /// Finishes what it has.
    Draining,
    /// Takes work as far as it knows, but there is no sign of its life: it gets none, and what may be done twice is done
    /// elsewhere. Its next heartbeat makes it active again (F34).
    Suspect,
    /// Declared dead by others.
    Dead,
    /// Said good-bye.
    Gone,
}

/// The earliest things to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NextDue {
    /// Earliest timer (`t` rows).
    pub timer: Option<Timestamp>,
    /// Rank of the first ready row of the asked queues.
    pub ready: Option<i64>,
}

/// A hint that something may have changed. Losing one costs only latency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// A cancel was flagged on rows of this worker.
    Cancel(WorkerNo),
    /// Ready rows appeared in this queue.
    Queue(String),
    /// A run moved on.
    Run(RunId),
    /// Somebody follows this run's logs.
    Followed(RunId),
    /// Hints may have been lost: look at everything.
    Everything,
}

/// The engine's side of a store. The methods for gates, polls and schedules join it with what needs them.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// `sqlite`, `postgres` or `memory`.
    fn kind(&self) -> &'static str;

    /// Loads runs, each in one snapshot. With a known `(version, stamp)`: nothing newer, the tail of at most 64 log rows, or
    /// everything. Answers are in the order of the question.
    async fn load(&self, runs: &[(RunId, Option<(u64, Stamp)>)]) -> Result<Vec<Loaded>, StoreError>;

    /// Writes a batch if every run stands as expected and every fence holds; else nothing (engine.md §2 step 4).
    /// One round trip, one durable commit. Never waits for a run.
    async fn commit(&self, batch: &Batch) -> Result<Committed, StoreError>;

    /// A lane: waits for one run's lock, loads it, lets `decide` say what to write, and writes it, in one transaction.
    async fn commit_locked(
        &self,
        run: RunId,
        lane: Lane,
        at: Timestamp,
        decide: LaneFn,
    ) -> Result<LaneOutcome, StoreError>;

    /// Claims ready rows of one queue, best rank first, one per id.
    async fn claim(
        &self,
        worker_no: WorkerNo,
        queue: &str,
        attempts: &[AttemptId],
        at: Timestamp,
    ) -> Result<Vec<WorkRow>, StoreError>;

    /// Makes at most `limit` timers that are due ready; says how many it moved.
    async fn due(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError>;

    /// Whether this commit was applied (F8).
    async fn outcome(&self, run: RunId, version: u64, stamp: Stamp) -> Result<bool, StoreError>;

    /// Makes a worker known, with its lease and, where there is one, its lock as evidence of life.
    async fn register(&self, info: &WorkerInfo) -> Result<WorkerNo, StoreError>;

    /// Renews the lease. A suspect that has its lock again, or needs none, is active again.
    async fn beat(&self, worker_no: WorkerNo) -> Result<Beaten, StoreError>;

    /// Says good-bye: the worker is `gone`, its lock released.
    async fn leave(&self, worker_no: WorkerNo) -> Result<(), StoreError>;

    /// Looks at [`Store::peers`] through this worker's own heartbeat session, which is tried by it too: an error says that
    /// the session broke, and the next [`Store::beat`] opens a new one.
    async fn look(&self, worker_no: WorkerNo) -> Result<Look, StoreError>;

    /// All workers that hold rows in place `x`, or are active, draining or suspect.
    async fn peers(&self) -> Result<Vec<Peer>, StoreError>;

    /// Makes an active or draining worker a suspect if it still looks as seen; says whether it did.
    async fn suspect(&self, seen: &Peer) -> Result<bool, StoreError>;

    /// The rows in place `x` of a worker.
    async fn executing(&self, worker_no: WorkerNo) -> Result<Vec<WorkRow>, StoreError>;

    /// Declares a worker dead if it still looks as seen; says whether it did.
    async fn condemn(&self, seen: &Peer) -> Result<bool, StoreError>;

    /// The earliest things to do for these queues, in one statement.
    async fn next_due(&self, queues: &[String]) -> Result<NextDue, StoreError>;

    /// Hints from other connections and processes, from lanes and from timers. What a [`Store::commit`] of this handle
    /// wrote may be left out: its caller knows.
    fn wakes(&self) -> BoxStream<'static, Wake>;

    /// Makes a workflow version known (idempotent by name and sha-256) and says its numbers.
    async fn publish(&self, version: &NewVersion, at: Timestamp) -> Result<Published, StoreError>;

    /// A task run's small value, put once per generation by an attempt that executes: answers what stands, the first value
    /// put; `None`: `by` is not (or no longer) the attempt that executes it, and nothing was put. Durable on return. It is
    /// not part of any hop and touches no run.
    async fn put_task_state(&self, at: &TaskStateKey, by: AttemptId, value: &str)
    -> Result<Option<String>, StoreError>;

    /// That value, for whoever asks.
    async fn task_state(&self, at: &TaskStateKey) -> Result<Option<String>, StoreError>;

    /// A value shared across runs, with its version (from 1).
    async fn shared_state(&self, scope: &str, key: &str) -> Result<Option<(String, u64)>, StoreError>;

    /// Writes a shared value if its version is still `expected` (0 = it must not exist); says whether it did.
    async fn set_shared_state(
        &self,
        scope: &str,
        key: &str,
        value: &str,
        expected: u64,
        at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Commits and round trips so far, by purpose.
    fn counters(&self) -> &Counters;

    /// The baseline **B** of `updraft bench`: one durable one-row commit on the engine's own connection (engine.md §5).
    async fn bare_commit(&self) -> Result<(), StoreError>;

    /// Whether commits are durable (`fsync`, `synchronous_commit`); `Err` names the setting that is off.
    async fn durable(&self) -> Result<Result<(), String>, StoreError>;

    /// Ends connections in good order.
    async fn close(&self);
}

/// Key of a small value of one task run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskStateKey {
    /// The run.
    pub run_id: RunId,
    /// The task run.
    pub key: TaskKey,
    /// Its generation.
    pub generation: u32,
    /// The value's name.
    pub name: String,
}

/// An immutable content of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVersion {
    /// Name of the workflow.
    pub workflow: String,
    /// sha-256 of `source`, hex.
    pub sha256: String,
    /// The file's text.
    pub source: String,
    /// Where it came from, relative to the project.
    pub path: String,
    /// `updraft_model::workflow::Workflow` as JSON.
    pub compiled: String,
}

/// Numbers of a published version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The workflow.
    pub workflow_id: updraft_model::id::WorkflowId,
    /// The version.
    pub version_id: updraft_model::id::VersionId,
}
