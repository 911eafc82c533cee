//! History as the API and the UI list it: pages, grids, medians, incidents. Plain records; how they are named in JSON is the
//! API's business.
//!
//! Implementations use connections of their own, never the engine's, and page by keys, never by offsets. What is put
//! together from rows without a database (grids, medians, days) lives in [`shape`] and is shared by both stores.

mod answers;
pub mod ask;
pub mod cell;
pub mod facts;
pub mod home;
pub mod line;
pub mod plan;
pub mod question;
#[cfg(feature = "conformance")]
pub mod samples;
pub mod shape;
pub mod tuple;

use async_trait::async_trait;
use updraft_model::id::{RunId, TaskKey, WorkerNo};
use updraft_model::record::{RunMetric, TaskItem};
use updraft_model::state::{Cause, Outcome, RunState, TaskRunState, Trigger};
use updraft_model::time::Timestamp;

use crate::StoreError;
use crate::read::HistoryEntry;

pub use ask::{GridAsk, Page, RunCursor, RunSort, RunsAsk, Shift, WindowBy, WorkflowSort, WorkflowState, WorkflowsAsk};
pub use home::{Home, HomeAsk, HomeCounts, Incident, IncidentKind, WaitingLine};
pub use line::{Attention, Failure, RunBar, RunLine, Spread, WorkflowLine, WorkflowsPage};

/// A task of a grid: a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GridTask {
    /// Its name.
    pub id: String,
    /// Its task type.
    pub task_type: String,
    /// Longest way from a root, from 0.
    pub depth: u32,
    /// Not in the workflow's newest version.
    pub removed: bool,
}

/// What a cell says besides its state. Only fields that say something are set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CellExtra {
    /// Attempts, if more than one.
    pub attempts: Option<u32>,
    /// Time between being ready and being taken by a worker, milliseconds, of the attempt that waited longest; from
    /// [`WAIT_SHOWN_MS`] on.
    pub wait_ms: Option<i64>,
    /// Time that its last body ran, milliseconds; beside another field.
    pub run_ms: Option<i64>,
    /// Of a mapped task: its instances.
    pub mapped: Option<Instances>,
    /// First line of its error.
    pub error: Option<String>,
}

impl CellExtra {
    /// Nothing to say.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Instances of a mapped task, counted by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Instances {
    /// All of them.
    pub total: u32,
    /// Ended well.
    pub succeeded: u32,
    /// Failed, or not run because of a failure.
    pub failed: u32,
    /// Executing.
    pub running: u32,
}

/// Waits below this are not worth a mark in a cell.
pub const WAIT_SHOWN_MS: i64 = 1_000;

/// A run of a grid: a column.
#[derive(Debug, Clone, PartialEq)]
pub struct GridRun {
    /// The run.
    pub line: GridRunLine,
    /// One letter a task, in the grid's order; see [`cell::letter`].
    pub cells: String,
    /// By position of the task.
    pub extra: Vec<(u32, CellExtra)>,
}

/// The facts of a grid's run.
#[derive(Debug, Clone, PartialEq)]
pub struct GridRunLine {
    /// The run.
    pub run_id: RunId,
    /// Where it is.
    pub state: RunState,
    /// Why it exists.
    pub trigger: Trigger,
    /// Logical date.
    pub logical_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it took its slot.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Number of its workflow version in the workflow, from 1.
    pub version_no: u32,
    /// The run before it (older) has another version.
    pub version_changed: bool,
    /// It succeeded and hides a failed task run.
    pub masked: bool,
    /// How often it was re-opened.
    pub generation: u32,
}

/// Runs × tasks of a workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Rows: the newest version's tasks in file order, then tasks that only older versions have.
    pub tasks: Vec<GridTask>,
    /// Columns, oldest first.
    pub runs: Vec<GridRun>,
    /// There are older runs.
    pub more: bool,
    /// Median duration of the runs shown that succeeded, milliseconds.
    pub median_ms: Option<i64>,
}

/// One run as a point of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct DurationPoint {
    /// The run.
    pub run_id: RunId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it took its slot.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Where it is.
    pub state: RunState,
    /// Why it exists.
    pub trigger: Trigger,
    /// Logical date.
    pub logical_at: Timestamp,
    /// Number of its workflow version.
    pub version_no: u32,
}

/// How long a task takes, over some runs.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDurations {
    /// The task.
    pub task: String,
    /// Of bodies of succeeded task runs, milliseconds.
    pub seconds: Option<Spread>,
    /// Of waits for a worker, milliseconds.
    pub wait: Option<Spread>,
    /// Attempts beyond the first.
    pub retries: u32,
    /// Task runs that failed.
    pub failures: u32,
    /// Task runs that ended.
    pub runs: u32,
}

/// How long a workflow and its tasks take.
#[derive(Debug, Clone, PartialEq)]
pub struct Durations {
    /// The runs, oldest first.
    pub points: Vec<DurationPoint>,
    /// Of those that succeeded, milliseconds.
    pub run: Option<Spread>,
    /// Its tasks, in file order of the newest version, then others.
    pub tasks: Vec<TaskDurations>,
}

/// Runs that ended on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// The civil day, as days since 1970-01-01.
    pub day: i32,
    /// Ended as succeeded.
    pub succeeded: u32,
    /// Ended as failed.
    pub failed: u32,
    /// Cancelled.
    pub other: u32,
}

/// When a task usually runs inside a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsualTask {
    /// The task; mapped instances count together.
    pub task: String,
    /// Median of the time from the run's start to its first body's, milliseconds.
    pub start_ms: i64,
    /// Median time from its first body's start to its last end, milliseconds.
    pub run_ms: i64,
}

/// What the last succeeded runs of a workflow took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usual {
    /// How many runs were looked at, at most [`USUAL_RUNS`].
    pub runs: u32,
    /// Of the runs, milliseconds.
    pub run: Option<Spread>,
    /// Of their tasks.
    pub tasks: Vec<UsualTask>,
}

/// How many succeeded runs "usual" means.
pub const USUAL_RUNS: u32 = 20;

/// One task run in the history of its task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskHistory {
    /// Its run.
    pub run_id: RunId,
    /// The run's logical date.
    pub logical_at: Timestamp,
    /// State of the run.
    pub run_state: RunState,
    /// As shown.
    pub state: TaskRunState,
    /// Start of the body that decided it.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Attempts so far, one under way included.
    pub attempts: u32,
}

/// The runs of the same workflow made before and after a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// The one before.
    pub previous: Option<RunId>,
    /// The one after.
    pub next: Option<RunId>,
}

/// A workflow version in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionLine {
    /// Its number in the store.
    pub version_id: i64,
    /// Its number in the workflow, from 1.
    pub number: u32,
    /// sha-256 of its source, hex.
    pub sha256: String,
    /// Where it came from.
    pub path: String,
    /// When it was published first.
    pub created_at: Timestamp,
    /// It is the one that new runs take.
    pub current: bool,
    /// Runs pinned to it, among the workflow's newest [`RUNS_COUNTED`].
    pub runs: u32,
}

/// Runs of versions are counted among this many.
pub const RUNS_COUNTED: u32 = 10_000;

/// A workflow version with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionSource {
    /// Its line.
    pub line: VersionLine,
    /// Name of the workflow.
    pub workflow: String,
    /// The file's text.
    pub source: String,
    /// The workflow as JSON.
    pub compiled: String,
}

/// An attempt, over or under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptLine {
    /// Of which task run.
    pub key: TaskKey,
    /// From 1 in order of `dispatch_no`, over all generations, lost and never-started ones included.
    pub n: u32,
    /// Its fence.
    pub dispatch_no: u32,
    /// The try it is.
    pub try_no: u32,
    /// Generation of the task run.
    pub generation: u32,
    /// Attempt id; `None` for a dispatch that nobody has taken.
    pub attempt_id: Option<String>,
    /// How it ended; `None`: it has not.
    pub outcome: Option<Outcome>,
    /// Where it is, if it is not over: `ready`, `running`, `retry_wait` or `deferred`.
    pub state: Option<TaskRunState>,
    /// Why it ended.
    pub cause: Option<Cause>,
    /// Error class.
    pub class: Option<String>,
    /// Message.
    pub message: Option<String>,
    /// Who executed it.
    pub worker_no: Option<WorkerNo>,
    /// That worker's name.
    pub worker: Option<String>,
    /// From when on it could be taken; of a timer, when it will be.
    pub ready_at: Option<Timestamp>,
    /// When it was taken.
    pub claimed_at: Option<Timestamp>,
    /// When its body began.
    pub started_at: Option<Timestamp>,
    /// When its result was accepted.
    pub ended_at: Option<Timestamp>,
    /// Size of its output in bytes, 0 = none.
    pub output_bytes: u64,
}

/// A queue and what stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDepth {
    /// Its name.
    pub queue: String,
    /// Rows that can be taken.
    pub ready: u32,
    /// Rows that workers execute.
    pub executing: u32,
    /// Since when the first of the line could be taken.
    pub oldest: Option<Timestamp>,
}

/// The store itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreStats {
    /// Bytes on disk, with indexes.
    pub bytes: u64,
    /// Time that one small read took, microseconds.
    pub latency_us: u64,
}

/// A note on a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What it says; empty removes it.
    pub text: String,
    /// Who wrote it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// Longest note, bytes.
pub const NOTE_BYTES: usize = 4 * 1024;

/// The reads behind the API's lists and the UI's pages.
#[async_trait]
pub trait History: Send + Sync + 'static {
    /// A page of runs.
    async fn run_lines(&self, ask: &RunsAsk) -> Result<Page<RunLine, RunCursor>, StoreError>;

    /// These runs as a list shows them, in no order. Runs that are not there are left out.
    async fn run_lines_of(&self, runs: &[RunId]) -> Result<Vec<RunLine>, StoreError>;

    /// One run as a list shows it.
    async fn run_line(&self, run: RunId) -> Result<Option<RunLine>, StoreError>;

    /// A page of workflows, with every tag that any workflow has.
    async fn workflow_lines(&self, ask: &WorkflowsAsk) -> Result<WorkflowsPage, StoreError>;

    /// One workflow as a list shows it.
    async fn workflow_line(&self, workflow: &str, now: Timestamp) -> Result<Option<WorkflowLine>, StoreError>;

    /// The newest runs × tasks of a workflow; `None`: no such workflow.
    async fn grid(&self, workflow: &str, ask: &GridAsk) -> Result<Option<Grid>, StoreError>;

    /// How long the newest `runs` runs of a workflow and their tasks took; `None`: no such workflow.
    async fn durations(&self, workflow: &str, runs: u32) -> Result<Option<Durations>, StoreError>;

    /// Runs of a workflow that ended in `[from, until)`, by civil day. `shifts` gives the zone's UTC offsets: each holds
    /// from its instant to the next one's, the first one also before.
    async fn calendar(
        &self,
        workflow: &str,
        from: Timestamp,
        until: Timestamp,
        shifts: &[Shift],
    ) -> Result<Vec<Day>, StoreError>;

    /// What happened, what runs, what waits.
    async fn home(&self, ask: &HomeAsk) -> Result<Home, StoreError>;

    /// What the last succeeded runs of a workflow took, with their tasks.
    async fn usual(&self, workflow: &str) -> Result<Usual, StoreError>;

    /// The newest task runs of one task.
    async fn task_history(&self, workflow: &str, key: &TaskKey, limit: u32) -> Result<Vec<TaskHistory>, StoreError>;

    /// The runs before and after a run.
    async fn neighbours(&self, run: RunId) -> Result<Neighbours, StoreError>;

    /// Versions of a workflow, newest first, older than `before`.
    async fn versions(
        &self,
        workflow: &str,
        before: Option<u32>,
        limit: u32,
    ) -> Result<Page<VersionLine, u32>, StoreError>;

    /// One version of a workflow by its number in it; `None` as number: the current one.
    async fn version_source(&self, workflow: &str, number: Option<u32>) -> Result<Option<VersionSource>, StoreError>;

    /// A run's events after a version, oldest first, at most `limit` commits.
    async fn events(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<HistoryEntry>, StoreError>;

    /// Attempts of one task run, or of all of a run, by key and number; attempts under way included.
    async fn attempts(&self, run: RunId, of: Option<&TaskKey>) -> Result<Vec<AttemptLine>, StoreError>;

    /// What the attempts of a task run recorded about parts of their work, with `dispatch_no`.
    async fn items(&self, run: RunId, key: &TaskKey) -> Result<Vec<(u32, TaskItem)>, StoreError>;

    /// Measures that a task recorded in a run.
    async fn metrics(&self, run: RunId, task: &str) -> Result<Vec<RunMetric>, StoreError>;

    /// Output of one attempt.
    async fn output(&self, run: RunId, key: &TaskKey, dispatch_no: u32) -> Result<Option<String>, StoreError>;

    /// Every queue that has rows.
    async fn queues(&self) -> Result<Vec<QueueDepth>, StoreError>;

    /// Size and latency of the store.
    async fn stats(&self) -> Result<StoreStats, StoreError>;

    /// The note of a run.
    async fn note(&self, run: RunId) -> Result<Option<Note>, StoreError>;

    /// Writes a run's note; an empty text removes it. Says whether there is such a run.
    async fn set_note(&self, run: RunId, note: &Note) -> Result<bool, StoreError>;
}
