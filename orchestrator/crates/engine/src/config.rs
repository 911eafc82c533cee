//! What an engine is started with, and the small interfaces to the world that its owner supplies.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};
use updraft_model::graph::Compiled;
use updraft_model::id::{RunId, TaskId, TaskKey};
use updraft_model::state::Trigger;
use updraft_model::time::{DataInterval, Timestamp};
use updraft_store::{Logs, Published, Reader, Scheduling, Store};
use updraft_task::{Connection, Registry};

use crate::scheduler::SchedulerHandle;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, in UTC.
    fn now(&self) -> Timestamp;
}

/// The system's clock, never going backwards within this process.
#[derive(Debug, Default)]
pub struct SystemClock(std::sync::atomic::AtomicI64);

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = chrono::Utc::now().timestamp_millis();
        let before = self.0.fetch_max(now, std::sync::atomic::Ordering::Relaxed);
        Timestamp::from_millis(now.max(before))
    }
}

/// Where connections come from: a profile with the environment over it.
pub trait ConnectionSource: Send + Sync + 'static {
    /// The connection of that name, resolved.
    fn connection(&self, name: &str) -> Option<Connection>;
    /// All names.
    fn names(&self) -> Vec<String>;
}

/// No connections at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoConnections;

impl ConnectionSource for NoConnections {
    fn connection(&self, _: &str) -> Option<Connection> {
        None
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Looks at bodies from outside: what `updraft bench` measures with.
#[async_trait]
pub trait Probe: Send + Sync + 'static {
    /// The body is about to be polled for the first time.
    fn polled(&self, run_id: RunId, key: &TaskKey);
    /// The body has returned; its result is sent on when this future ends.
    async fn returned(&self, run_id: RunId, key: &TaskKey);
}

/// How an engine looks after other workers and all open runs (engine.md F34, F35).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// Time between two looks while there are other workers.
    pub every: Duration,
    /// A worker whose lock is absent for so long is a suspect.
    pub absent: Duration,
    /// Evidence counts only if it comes from one session that is so old.
    pub settle: Duration,
    /// Time after the end of a lease before its worker is taken for dead.
    pub grace: Duration,
    /// Time between two looks for open runs that near their time limit.
    pub limits: Duration,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(1),
            absent: Duration::from_secs(5),
            settle: Duration::from_secs(15),
            grace: Duration::from_secs(5),
            limits: Duration::from_secs(15),
        }
    }
}

/// Everything that an engine needs. Make it with [`EngineConfig::new`], then change what differs.
#[derive(Clone)]
pub struct EngineConfig {
    /// Where state lives.
    pub store: Arc<dyn Store>,
    /// Where history is read: outputs of upstream tasks, siblings.
    pub reader: Arc<dyn Reader>,
    /// Task types and connection kinds.
    pub registry: Arc<Registry>,
    /// Connections of the chosen profile.
    pub connections: Arc<dyn ConnectionSource>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Name of this worker: `host/pid` if not given otherwise.
    pub name: String,
    /// Queues that are served besides those of the runs that this engine creates or resumes.
    pub queues: Vec<String>,
    /// Queues on which tasks may run programs that the workflow names; `None`: on every queue.
    pub command_queues: Option<Vec<String>>,
    /// Attempts that run at one time.
    pub slots: u32,
    /// Child processes that run at one time.
    pub process_slots: u32,
    /// Most task runs dispatched per run (engine.md F14). A private queue needs no more than the slots.
    pub dispatch_window: u32,
    /// The project's folder: relative paths of tasks are relative to it.
    pub project_dir: PathBuf,
    /// The project's own folder (`.updraft`).
    pub data_dir: PathBuf,
    /// Attempt logs until they are shipped: `<run>/<task>/<dispatch_no>.log`.
    pub log_dir: PathBuf,
    /// Scratch folders of attempts.
    pub scratch_dir: PathBuf,
    /// Results that could not be committed yet.
    pub spool_dir: PathBuf,
    /// Program that answers `__child` with [`crate::child::child_main`].
    pub child_launcher: PathBuf,
    /// Arguments before those of [`crate::child::child_main`]; `["__child"]`.
    pub child_arguments: Vec<String>,
    /// Bytes of log kept per attempt: half of them from its beginning, the others from its end.
    pub log_limit_bytes: u64,
    /// How long a body may take to stop after a cancel or its time limit before it is dropped.
    pub cancel_grace: Duration,
    /// How long running attempts may go on after [`crate::Engine::drain`].
    pub drain_limit: Duration,
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// How long after a heartbeat was sent this worker trusts its lease; `None` where nobody else could take over.
    pub trust: Option<Duration>,
    /// Looks after the other workers and all runs of the store; `None` for a foreground run, which looks after its own.
    pub watch: Option<Watch>,
    /// Where logs are shipped to; `None`: they stay in their files.
    pub logs: Option<Arc<dyn Logs>>,
    /// How often to look for ready rows that no hint told of; `None` where nobody else writes.
    pub poll: Option<Duration>,
    /// First and longest wait while the store is unavailable.
    pub backoff: (Duration, Duration),
    /// Bytes of cached run states, and of cached outputs.
    pub cache_bytes: usize,
    /// For measurements.
    pub probe: Option<Arc<dyn Probe>>,
    /// Where runs are admitted under the limit of their workflow; needed by [`crate::Engine::trigger`].
    pub scheduling: Option<Arc<dyn Scheduling>>,
    /// Told when runs end, so that what waits for them starts.
    pub scheduler: Option<SchedulerHandle>,
}

impl EngineConfig {
    /// Defaults around a store, with all folders under `project_dir/.updraft`.
    pub fn new(
        store: Arc<dyn Store>,
        reader: Arc<dyn Reader>,
        registry: Arc<Registry>,
        connections: Arc<dyn ConnectionSource>,
        project_dir: impl Into<PathBuf>,
    ) -> Self {
        let project_dir = project_dir.into();
        let data_dir = project_dir.join(".updraft");
        let cores = u32::try_from(std::thread::available_parallelism().map_or(2, usize::from)).unwrap_or(2);
        let shared = store.kind() == "postgres";
        let poll = shared.then_some(Duration::from_secs(1));
        let trust = shared.then_some(Duration::from_secs(28));
        Self {
            store,
            reader,
            registry,
            connections,
            clock: Arc::new(SystemClock::default()),
            name: format!("{}/{}", host_name(), std::process::id()),
            queues: Vec::new(),
            command_queues: None,
            slots: 32,
            process_slots: cores.saturating_mul(2).max(4),
            dispatch_window: 512,
            log_dir: data_dir.join("logs"),
            scratch_dir: data_dir.join("scratch"),
            spool_dir: data_dir.join("spool"),
            project_dir,
            data_dir,
            child_launcher: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("updraft")),
            child_arguments: vec!["__child".to_owned()],
            log_limit_bytes: 64 << 20,
            cancel_grace: Duration::from_secs(10),
            drain_limit: Duration::from_secs(30),
            heartbeat: Duration::from_secs(10),
            trust,
            watch: None,
            logs: None,
            poll,
            backoff: (Duration::from_millis(100), Duration::from_secs(5)),
            cache_bytes: 64 << 20,
            probe: None,
            scheduling: None,
            scheduler: None,
        }
    }
}

/// This host's name, as shown.
pub(crate) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

/// A run to be made.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id; one is made if none is given.
    pub run_id: Option<RunId>,
    /// The published version.
    pub version: Published,
    /// That version, compiled.
    pub workflow: Arc<Compiled>,
    /// Params after defaults, checked.
    pub params: Map<String, Value>,
    /// Logical date.
    pub logical_at: Timestamp,
    /// The data it is for.
    pub interval: DataInterval,
    /// Why it exists.
    pub trigger: Trigger,
    /// Who asked for it: `cli:user@host`.
    pub by: String,
    /// Chosen tasks (everything upstream comes along); `None` = all.
    pub only: Option<Vec<TaskId>>,
    /// Unique in the workflow; the run's id if none is given.
    pub run_key: Option<String>,
    /// Where its tasks are claimed from; `run:<id>` (this engine alone) if none is given.
    pub queue: Option<String>,
    /// Larger goes first.
    pub priority: i32,
}

impl NewRun {
    /// A manual run of everything, for one instant.
    pub fn manual(version: Published, workflow: Arc<Compiled>, at: Timestamp, by: impl Into<String>) -> Self {
        Self {
            run_id: None,
            version,
            workflow,
            params: Map::new(),
            logical_at: at,
            interval: DataInterval { start: at, end: at },
            trigger: Trigger::Manual,
            by: by.into(),
            only: None,
            run_key: None,
            queue: None,
            priority: 0,
        }
    }
}
