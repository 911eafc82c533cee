//! Rows as plain data: what stores keep and hand back. No rule lives here.

use serde::{Deserialize, Serialize};

use crate::id::{AttemptId, RunId, Stamp, TaskKey, VersionId, WorkerNo, WorkflowId};
use crate::state::{Cause, FinalState, Outcome, Place, RunState, TaskRunState, Trigger};
use crate::time::{DataInterval, Timestamp};

/// The facts of a run that never change, but for the version and the queue, which a re-opening may change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    /// The run.
    pub run_id: RunId,
    /// Its workflow.
    pub workflow_id: WorkflowId,
    /// The pinned version.
    pub version_id: VersionId,
    /// Unique in the workflow.
    pub run_key: String,
    /// Why it exists.
    pub trigger: Trigger,
    /// Logical date.
    pub logical_at: Timestamp,
    /// The data it is for.
    pub interval: DataInterval,
    /// Params after defaults, canonical JSON.
    pub conf: String,
    /// Where its tasks are claimed from.
    pub queue: String,
    /// Larger goes first.
    pub priority: i32,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The changing part of a run's row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunProjection {
    /// Where it is.
    pub state: RunState,
    /// Why it ended; while `cancelling`, why it is about to (`cancel_requested`, `run_timeout`, `event_limit`).
    pub cause: Option<Cause>,
    /// How often it was re-opened.
    pub generation: u32,
    /// When it took its slot.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// A run's row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// What never changes.
    pub facts: RunFacts,
    /// What does.
    pub projection: RunProjection,
    /// Number of commits so far, from 1.
    pub version: u64,
    /// Id of the last commit.
    pub stamp: Stamp,
}

/// One row of `task_run` in state `waiting`: a task run that begins anew. It stays until the task run is over again; what
/// was dispatched since stands in `work`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClearedRow {
    /// Which.
    pub key: TaskKey,
    /// Its generation from now on.
    pub generation: u32,
    /// Last fence before; 0 if it was never dispatched.
    pub dispatch_no: u32,
    /// Last try before; 0 if it was never dispatched.
    pub try_no: u32,
    /// Of a mapped task: how many instances it has. Its row is there from its expansion on, also in generation 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expanded_n: Option<u32>,
}

/// One row of `task_run`: a task run that is over. Those that begin anew are [`ClearedRow`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRunRow {
    /// Which.
    pub key: TaskKey,
    /// Generation of the task run.
    pub generation: u32,
    /// Last fence; 0 if it was never dispatched.
    pub dispatch_no: u32,
    /// Last try; 0 if it was never dispatched.
    pub try_no: u32,
    /// Attempts lost.
    pub losses: u32,
    /// How it ended.
    pub state: FinalState,
    /// Why.
    pub cause: Cause,
    /// When the body of the attempt that decided it began; `None` if no attempt decided it.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Of a mapped task: how many instances it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expanded_n: Option<u32>,
}

/// The run-owned part of a `work` row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatch {
    /// Which task run.
    pub key: TaskKey,
    /// The fence.
    pub dispatch_no: u32,
    /// The try, from 1.
    pub try_no: u32,
    /// Attempts lost so far.
    pub losses: u32,
    /// Generation of the task run.
    pub generation: u32,
}

/// One row of `work`: a dispatched task run and where it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkRow {
    /// The run.
    pub run_id: RunId,
    /// What the graph decided.
    pub dispatch: Dispatch,
    /// Where it is.
    pub place: Place,
    /// Instant that a `t` row waits for.
    pub due_at: Option<Timestamp>,
    /// Where it is claimed from.
    pub queue: String,
    /// Smaller goes first, see [`crate::rank`].
    pub rank: i64,
    /// Who executes it.
    pub worker_no: Option<WorkerNo>,
    /// Under which attempt.
    pub attempt_id: Option<AttemptId>,
    /// Since when.
    pub claimed_at: Option<Timestamp>,
    /// A cancel was asked for at.
    pub cancel_at: Option<Timestamp>,
}

/// An attempt that is over, as it is inserted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndedAttempt {
    /// Of which task run.
    pub key: TaskKey,
    /// The fence that `work` must still carry.
    pub dispatch_no: u32,
    /// The attempt that `work` must still name.
    pub attempt_id: AttemptId,
    /// How.
    pub outcome: Outcome,
    /// Why.
    pub cause: Cause,
    /// Error class.
    pub class: Option<String>,
    /// Full message (≤ 8 KiB).
    pub message: Option<String>,
    /// When its body began.
    pub started_at: Option<Timestamp>,
    /// Output as canonical JSON (≤ 48 KiB).
    pub output: Option<String>,
    /// What it recorded about parts of its work.
    pub items: Vec<TaskItem>,
    /// Measures it recorded.
    pub metrics: Vec<RunMetric>,
}

/// An attempt as read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRow {
    /// Of which task run.
    pub key: TaskKey,
    /// Its fence.
    pub dispatch_no: u32,
    /// Its id.
    pub attempt_id: AttemptId,
    /// The try it was.
    pub try_no: u32,
    /// Generation of the task run.
    pub generation: u32,
    /// Who executed it.
    pub worker_no: Option<WorkerNo>,
    /// When it was claimed.
    pub claimed_at: Option<Timestamp>,
    /// When its body began.
    pub started_at: Option<Timestamp>,
    /// When its result was accepted.
    pub ended_at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// Why.
    pub cause: Cause,
    /// Error class.
    pub class: Option<String>,
    /// Message.
    pub message: Option<String>,
    /// Output as canonical JSON.
    pub output: Option<String>,
}

/// A part of an attempt's work that is shown as a row of its own (a dbt model, a quality rule).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskItem {
    /// `dbt_model`, `dbt_test`, `dbt_seed`, `quality_rule`, …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// In the words of the tool that made it: `pass`, `warn`, `fail`, `success`, `error`, `skipped`.
    pub state: String,
    /// Seconds it took.
    pub seconds: Option<f64>,
    /// Its number (rows, share), if it has one.
    pub value: Option<f64>,
    /// What it said (≤ 2 KiB).
    pub message: Option<String>,
}

/// A named measure of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunMetric {
    /// Name with its unit, as Prometheus writes it.
    pub name: String,
    /// The number.
    pub value: f64,
    /// Unit in words.
    pub unit: String,
    /// Labels, sorted by name.
    pub labels: std::collections::BTreeMap<String, String>,
}

/// The one derivation of the public state from the rows: no row = waiting.
pub fn shown_state(task_run: Option<FinalState>, work: Option<(Place, bool)>) -> TaskRunState {
    match work {
        None => task_run.map_or(TaskRunState::Waiting, TaskRunState::from),
        Some((Place::Ready | Place::Gated, _)) => TaskRunState::Ready,
        Some((Place::Executing, _)) => TaskRunState::Running,
        Some((Place::Timer, false)) => TaskRunState::RetryWait,
        Some((Place::Polled | Place::Waiting, _) | (Place::Timer, true)) => TaskRunState::Deferred,
    }
}
