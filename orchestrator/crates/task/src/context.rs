//! What a task sees of its run, and everything it may ask for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use updraft_model::id::{AttemptId, RunId, TaskKey};
use updraft_model::record::{RunMetric, TaskItem};
use updraft_model::state::Trigger;
use updraft_model::time::{DataInterval, Timestamp};

use crate::TaskError;
use crate::child::{ChildExit, ChildSpec, Lines, Output};
use crate::connection::{Connection, ConnectionKind};
use crate::kept::{Shared, State};
use crate::lake::{Lake, LakeConnection};

/// Facts about the run; the same for all its tasks and attempts.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// The run.
    pub run_id: RunId,
    /// Name of its workflow.
    pub workflow: String,
    /// Why it exists.
    pub trigger: Trigger,
    /// Logical date.
    pub logical_at: Timestamp,
    /// The data it is for.
    pub interval: DataInterval,
    /// Params after defaults.
    pub params: Value,
    /// When it started.
    pub started_at: Timestamp,
    /// The project's folder: relative paths are relative to it.
    pub project_dir: PathBuf,
    /// The project's own folder for data and logs (`.updraft`).
    pub data_dir: PathBuf,
}

/// Facts about this attempt.
#[derive(Debug, Clone)]
pub struct AttemptInfo {
    /// The task run.
    pub key: TaskKey,
    /// The fence: grows with every dispatch.
    pub dispatch_no: u32,
    /// The try, from 1.
    pub try_no: u32,
    /// Generation of the task run.
    pub generation: u32,
    /// The attempt.
    pub attempt_id: AttemptId,
    /// The same for every attempt of this task run and generation: what sinks deduplicate by.
    pub idempotency_key: String,
    /// When it ends by its time limit.
    pub deadline: Option<std::time::Instant>,
    /// Environment for its children, rendered.
    pub env: BTreeMap<String, String>,
    /// Where its scratch files belong; see [`Context::scratch_dir`].
    pub scratch_dir: PathBuf,
}

/// The outcome of another task run of the same run, as `notify` and reports see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sibling {
    /// The task.
    pub task: String,
    /// Its state as shown.
    pub state: updraft_model::state::TaskRunState,
    /// Whether its failure leaves the run's outcome alone.
    pub allow_failure: bool,
    /// Error class and message of its last attempt, or the reason of a skip.
    pub error: Option<(String, String)>,
    /// How long the body of its last attempt ran; `None` if none has.
    pub duration: Option<Duration>,
    /// Its output.
    pub output: Option<Value>,
}

/// Weight of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Details.
    Debug,
    /// What happens.
    Info,
    /// Worth a look.
    Warn,
    /// What failed.
    Error,
}

/// The engine's side of a [`Context`]. Task authors never see it; tests use [`crate::testing`].
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// Writes one line to the attempt's log (masked and bounded by the host).
    fn log(&self, level: Level, line: &str);
    /// Writes one line that a child said on this output.
    fn log_child(&self, output: Output, level: Level, line: &str);
    /// Tells how far the attempt is.
    fn progress(&self, done: u64, total: Option<u64>, unit: &str);
    /// Shows a part of the work while the attempt runs, in place of what was shown of it before; nothing of it is written.
    fn live_item(&self, item: TaskItem);
    /// Keeps a row about a part of the work, written with the result.
    fn record_item(&self, item: TaskItem);
    /// Keeps a measure, written with the result.
    fn record_metric(&self, metric: RunMetric);
    /// The connection of that name, environment over profile.
    fn connection(&self, name: &str) -> Option<Connection>;
    /// Names of all connections.
    fn connections(&self) -> Vec<String>;
    /// A value of this attempt's task run and generation.
    async fn state(&self, attempt: &AttemptInfo, name: &str) -> Result<Option<String>, TaskError>;
    /// Puts it if it is not there and the attempt still holds its fence; answers what is there afterwards.
    async fn put_state(&self, attempt: &AttemptInfo, name: &str, value: &str) -> Result<String, TaskError>;
    /// A value shared across runs with its version.
    async fn shared(&self, scope: &str, key: &str) -> Result<Option<(String, u64)>, TaskError>;
    /// Writes it if its version is still `expected` (0 = absent); says whether it did.
    async fn set_shared(&self, scope: &str, key: &str, value: &str, expected: u64) -> Result<bool, TaskError>;
    /// Runs a child process to its end; lines go to `lines` as they come. Cancelling the attempt stops it as a tree.
    async fn run_child(&self, spec: ChildSpec, lines: &mut Lines<'_>) -> Result<ChildExit, TaskError>;
    /// Why the attempt shall stop, see [`Context::is_handed_over`].
    fn is_handed_over(&self) -> bool {
        false
    }
    /// The other task runs of this run, in file order.
    async fn siblings(&self) -> Result<Vec<Sibling>, TaskError>;
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// Waits (by the host's clock).
    async fn sleep(&self, span: Duration);
}

/// What a task's body gets.
#[derive(Clone)]
pub struct Context {
    run: Arc<RunInfo>,
    attempt: Arc<AttemptInfo>,
    conn: Option<String>,
    cancelled: CancellationToken,
    host: Arc<dyn Host>,
}

impl Context {
    /// Put together by the engine and by tests.
    pub fn new(
        run: Arc<RunInfo>,
        attempt: Arc<AttemptInfo>,
        conn: Option<String>,
        cancelled: CancellationToken,
        host: Arc<dyn Host>,
    ) -> Self {
        Self { run, attempt, conn, cancelled, host }
    }

    /// The run.
    pub fn run(&self) -> &RunInfo {
        &self.run
    }

    /// This attempt.
    pub fn attempt(&self) -> &AttemptInfo {
        &self.attempt
    }

    /// Fires when the attempt shall stop: cancel, time limit, loss of the lease, shutdown.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Whether an attempt that shall stop leaves its work to a later one: the process stops, or may no longer hold its lease.
    /// What lives elsewhere and can be found again is then left alone. A cancelled run or a time limit is the end of the work.
    pub fn is_handed_over(&self) -> bool {
        self.host.is_handed_over()
    }

    /// Key that sinks deduplicate by: the same for every attempt of this task run.
    pub fn idempotency_key(&self) -> &str {
        &self.attempt.idempotency_key
    }

    /// Writes a line.
    pub fn log(&self, level: Level, line: impl AsRef<str>) {
        self.host.log(level, line.as_ref());
    }

    /// Writes a line at level info.
    pub fn info(&self, line: impl AsRef<str>) {
        self.host.log(Level::Info, line.as_ref());
    }

    /// Writes a line at level warn.
    pub fn warn(&self, line: impl AsRef<str>) {
        self.host.log(Level::Warn, line.as_ref());
    }

    /// Writes a line at level error.
    pub fn error(&self, line: impl AsRef<str>) {
        self.host.log(Level::Error, line.as_ref());
    }

    /// Writes a line at level debug.
    pub fn debug(&self, line: impl AsRef<str>) {
        self.host.log(Level::Debug, line.as_ref());
    }

    /// Writes a line that a child said, so that readers can tell it from the task's own.
    pub fn log_child(&self, output: Output, level: Level, line: impl AsRef<str>) {
        self.host.log_child(output, level, line.as_ref());
    }

    /// Tells how far the attempt is.
    pub fn progress(&self, done: u64, total: Option<u64>, unit: &str) {
        self.host.progress(done, total, unit);
    }

    /// Shows a part of the work (a dbt model that has just begun) while the attempt runs, in place of what was shown under its
    /// kind and name before. What shall stay is recorded, too.
    pub fn live_item(&self, item: &TaskItem) {
        self.host.live_item(item.clone());
    }

    /// Keeps a row about a part of the work (a dbt model, a quality rule).
    pub fn record_item(&self, item: TaskItem) {
        self.host.record_item(item);
    }

    /// Keeps a measure of the run.
    pub fn record_metric(&self, metric: RunMetric) {
        self.host.record_metric(metric);
    }

    /// The connection named by `conn:`, else the one called like the kind.
    ///
    /// # Errors
    /// `fail`, class `BadConnection`: there is none, or it does not fit.
    pub fn connection<C: ConnectionKind>(&self) -> Result<C, TaskError> {
        self.connection_named(self.conn.as_deref().unwrap_or(C::KIND))
    }

    /// Name of the connection given by `conn:`.
    pub fn connection_name(&self) -> Option<&str> {
        self.conn.as_deref()
    }

    /// A connection by name, not yet typed (for tasks that take several kinds).
    ///
    /// # Errors
    /// As [`Context::connection`].
    pub fn connection_untyped(&self, name: &str) -> Result<Connection, TaskError> {
        self.host.connection(name).ok_or_else(|| {
            TaskError::fail(
                "BadConnection",
                format!(
                    "there is no connection `{name}`; known: {}. Add it to the profile in updraft.yaml",
                    self.host.connections().join(", ")
                ),
            )
        })
    }

    /// A connection by name.
    ///
    /// # Errors
    /// As [`Context::connection`].
    pub fn connection_named<C: ConnectionKind>(&self, name: &str) -> Result<C, TaskError> {
        self.connection_untyped(name)?.typed()
    }

    /// The lake: the connection called `lake`.
    ///
    /// # Errors
    /// As [`Context::connection`], and if the store cannot be set up.
    pub fn lake(&self) -> Result<Lake, TaskError> {
        Lake::open(&self.connection_named::<LakeConnection>(LakeConnection::KIND)?, &self.run.project_dir)
    }

    /// The lake of the task's own connection; the one called `lake` if it names none.
    ///
    /// # Errors
    /// As [`Context::lake`].
    pub fn own_lake(&self) -> Result<Lake, TaskError> {
        let name = self.connection_name().unwrap_or(LakeConnection::KIND);
        Lake::open(&self.connection_named::<LakeConnection>(name)?, &self.run.project_dir)
    }

    /// Small values of this task run that its later attempts read.
    pub fn state(&self) -> State<'_> {
        State::new(&*self.host, &self.attempt)
    }

    /// Values shared across runs under a scope: holds, credits.
    pub fn shared<'a>(&'a self, scope: &'a str) -> Shared<'a> {
        Shared::new(&*self.host, scope)
    }

    /// Runs a child process to its end. It has its own session and dies with the worker; cancelling stops it as a tree.
    ///
    /// # Errors
    /// `fail`, class `Spawn`: the program cannot be started; `Cancelled`: the attempt was told to stop.
    pub async fn run_child(&self, spec: ChildSpec, lines: &mut Lines<'_>) -> Result<ChildExit, TaskError> {
        self.host.run_child(spec, lines).await
    }

    /// The other task runs of this run, in file order.
    ///
    /// # Errors
    /// `retry`, class `Store`.
    pub async fn siblings(&self) -> Result<Vec<Sibling>, TaskError> {
        self.host.siblings().await
    }

    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        self.host.now()
    }

    /// Waits; ends early with `Cancelled` when the attempt shall stop.
    ///
    /// # Errors
    /// `Cancelled`.
    pub async fn sleep(&self, span: Duration) -> Result<(), TaskError> {
        tokio::select! {
            () = self.host.sleep(span) => Ok(()),
            () = self.cancelled.cancelled() => Err(TaskError::cancelled()),
        }
    }

    /// A folder of this attempt's own for scratch files, made on first use and removed after the attempt.
    ///
    /// # Errors
    /// `retry`, class `Scratch`: the folder cannot be made.
    pub fn scratch_dir(&self) -> Result<&Path, TaskError> {
        let folder = &self.attempt.scratch_dir;
        std::fs::create_dir_all(folder).map_err(|error| {
            TaskError::retry("Scratch", format!("cannot make the scratch folder {}: {error}", folder.display()))
        })?;
        Ok(folder)
    }

    /// A path of the project: relative ones are relative to its folder.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.run.project_dir.join(path)
    }
}
