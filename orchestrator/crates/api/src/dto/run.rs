//! Runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Cause, Graph, RunState, TaskRef, TaskRun, Time, Trigger};

/// The half-open span of data that a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DataInterval {
    /// First instant inside.
    pub start: Time,
    /// First instant after; equal to `start` for a point.
    pub end: Time,
}

/// Why a run failed, in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailureLine {
    /// The task that failed first.
    pub task: String,
    /// Its mapped instance.
    pub map_index: Option<i32>,
    /// The attempt that decided it, from 1.
    pub attempt: u32,
    /// Attempts that it may have.
    pub attempts: u32,
    /// Class of the error.
    pub class: Option<String>,
    /// First line of what it said; never empty.
    pub line: String,
}

/// A run as a row of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunSummary {
    /// Its id.
    pub id: Uuid,
    /// Id of its workflow.
    pub workflow: String,
    /// Where it is.
    pub state: RunState,
    /// Why it ended.
    pub cause: Option<Cause>,
    /// Why it exists.
    pub trigger: Trigger,
    /// Logical date.
    pub logical_date: Time,
    /// The data it is for.
    pub data_interval: DataInterval,
    /// When it was made.
    pub created_at: Time,
    /// When it took its run slot.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// From start to end, or to now while it runs.
    pub seconds: Option<f64>,
    /// From its creation to its start, or to now while it is queued.
    pub wait_seconds: Option<f64>,
    /// Number of its workflow version, from 1.
    pub version: u64,
    /// How often it was re-opened.
    pub generation: u32,
    /// Who asked for it.
    pub by: String,
    /// What somebody noted.
    pub note: Option<String>,
    /// It succeeded and hides a failed task.
    pub masked: bool,
    /// Attempts beyond the first of each task run.
    pub attempts_extra: u32,
    /// Why it failed; never left out on a failed run.
    pub failure: Option<FailureLine>,
    /// What it usually takes: median of the last 20 that succeeded.
    pub usual_seconds: Option<f64>,
    /// Task runs that are over.
    pub tasks_done: u32,
    /// Task runs that it has.
    pub tasks_total: u32,
}

/// Runs, one page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunPage {
    /// The runs.
    pub items: Vec<RunSummary>,
    /// Give it as `cursor` for the next page; null at the end.
    pub next: Option<String>,
}

/// Something that can be done, and what it would touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActionHint {
    /// What the button says: `Re-run 10 tasks`.
    pub label: String,
    /// Task runs that it touches.
    pub tasks: u32,
}

/// What can be done with a run now; what cannot is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Actions {
    /// Re-run what failed.
    pub retry: Option<ActionHint>,
    /// Stop it.
    pub cancel: Option<ActionHint>,
    /// Run all of it again.
    pub rerun: Option<ActionHint>,
    /// Set its state by hand.
    pub mark: Option<ActionHint>,
    /// Let it go on after it was set aside.
    pub repair: Option<ActionHint>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// As in lists.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// Params after defaults.
    #[schema(value_type = Object)]
    pub params: Map<String, Value>,
    /// Unique in its workflow: the UTC fire instant of a scheduled run.
    pub run_key: String,
    /// Where its tasks are claimed from.
    pub queue: String,
    /// Larger goes first.
    pub priority: i32,
    /// No later version of its workflow exists.
    pub version_is_newest: bool,
    /// sha-256 of its version's source.
    pub sha256: String,
    /// The file of its version.
    pub path: String,
    /// What happened, in one sentence.
    pub sentence: String,
    /// Events so far.
    pub events: u64,
    /// Commits so far: the id of the newest event of its stream.
    pub run_version: u64,
    /// What can be done.
    pub actions: Actions,
}

/// What a task usually takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsualTask {
    /// Median of its start after the run's start.
    pub start_seconds: f64,
    /// Median of its duration.
    pub seconds: f64,
}

/// What a run of this workflow usually takes: medians of the last 20 that succeeded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsualRun {
    /// The run.
    pub seconds: Option<f64>,
    /// Its tasks by id.
    pub tasks: BTreeMap<String, UsualTask>,
}

/// Everything that the page of a run shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    /// The run.
    pub run: Run,
    /// Its task runs, in file order.
    pub tasks: Vec<TaskRun>,
    /// The graph of its version.
    pub graph: Graph,
    /// What it usually takes.
    pub usual: UsualRun,
    /// Tasks that decided how long it took, first to last.
    pub critical_path: Vec<String>,
    /// The run of this workflow before it.
    pub previous: Option<Uuid>,
    /// The run of this workflow after it.
    pub next: Option<Uuid>,
    /// Its first commits, if they were asked for.
    pub events: Option<EventPage>,
}

/// One commit of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventEntry {
    /// The run's version after it: 1, 2, 3, … without gaps.
    pub version: u64,
    /// When.
    pub at: Time,
    /// By whom.
    pub actor: String,
    /// What happened.
    #[schema(value_type = Vec<Object>)]
    pub events: Vec<Value>,
}

/// Commits of a run, one page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// The commits, oldest first.
    pub items: Vec<EventEntry>,
    /// Give it as `cursor` for the next page; null at the end.
    pub next: Option<String>,
}

/// A run to be made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// Params that differ from the defaults.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub params: Option<Map<String, Value>>,
    /// Logical date; now if left out.
    #[serde(default)]
    pub logical_date: Option<Time>,
    /// What the history shall say about it.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub note: Option<String>,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// A mutation that needs nothing but a reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reasoned {
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// Asks a run to stop.
pub type CancelRequest = Reasoned;

/// A task run of one run: `"load"`, or with its mapped instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum TaskChoice {
    /// By the task's id.
    Task(String),
    /// One mapped instance.
    Instance(TaskRef),
}

/// What a retry takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryWhat {
    /// What failed, and what did not run because of it.
    #[default]
    Failed,
    /// `tasks`.
    Tasks,
    /// The whole run.
    All,
}

/// On which version a retry runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryVersion {
    /// The one it ran on.
    #[default]
    Pinned,
    /// The newest published one.
    Newest,
}

/// Runs task runs again, in a new generation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRequest {
    /// Which task runs; given, `what` is `tasks`.
    #[serde(default)]
    pub tasks: Option<Vec<TaskChoice>>,
    /// With everything downstream of them.
    #[serde(default)]
    pub downstream: Option<bool>,
    /// What.
    #[serde(default)]
    pub what: Option<RetryWhat>,
    /// On which version.
    #[serde(default)]
    pub version: Option<RetryVersion>,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// The states that can be set by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MarkState {
    /// As if it had succeeded.
    Succeeded,
    /// As if it had failed.
    Failed,
}

/// Sets states by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkRequest {
    /// The state.
    pub state: MarkState,
    /// Which task runs; left out: every one that is open.
    #[serde(default)]
    pub tasks: Option<Vec<TaskChoice>>,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// Changes what is noted about a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunNote {
    /// The note; empty or null takes it away. Left out it would be as good as gone: that is refused.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(max_length = 500, required)]
    pub note: Option<String>,
}
