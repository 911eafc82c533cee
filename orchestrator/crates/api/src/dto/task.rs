//! Task runs and attempts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Cause, LogPage, Outcome, RunSummary, TaskState, Time};

/// Names a task run inside its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskRef {
    /// The task.
    pub task: String,
    /// Its mapped instance.
    #[schema(minimum = 0)]
    #[serde(default, deserialize_with = "crate::extract::within::<0, { i64::MAX }, _, _>")]
    pub map_index: Option<i32>,
}

/// A task run and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskStateRef {
    /// The task.
    pub task: String,
    /// Its mapped instance.
    pub map_index: Option<i32>,
    /// Where it is.
    pub state: TaskState,
}

/// What keeps something from running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasonKind {
    /// The run's limit of task runs at one time.
    MaxActiveTasks,
    /// The workflow's limit of runs at one time.
    MaxActiveRuns,
    /// An upstream task is not over.
    Upstream,
    /// Its trigger rule is not met.
    TriggerRule,
    /// No worker serves its queue.
    NoWorker,
    /// All slots are taken.
    Slots,
    /// It waits for its next try.
    Retry,
    /// Its workflow is paused.
    Paused,
    /// Its schedule has not fired.
    Schedule,
    /// The task asked to wait.
    Deferred,
    /// It is about to be claimed.
    Queue,
    /// A run before it is not over.
    Overlap,
    /// Its run is being stopped.
    Cancelling,
}

/// Who holds what something waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasonHolder {
    /// The run.
    pub run: Option<Uuid>,
    /// The task.
    pub task: Option<String>,
    /// Its mapped instance.
    pub map_index: Option<i32>,
    /// Since when.
    pub since: Option<Time>,
}

/// Why something is not running.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// What it is.
    pub kind: ReasonKind,
    /// A whole sentence.
    pub text: String,
    /// Who holds what it waits for.
    pub holders: Vec<ReasonHolder>,
    /// Its place in line, from 1.
    pub position: Option<u32>,
    /// Length of that line.
    pub of: Option<u32>,
    /// When the wait ends, if that is known.
    pub until: Option<Time>,
    /// What it usually takes.
    pub usual_seconds: Option<f64>,
}

/// Where something that waits is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitState {
    /// A run without a run slot.
    Queued,
    /// A task run that is not dispatched.
    Waiting,
    /// A task run without a worker.
    Ready,
    /// A task run before its next try.
    RetryWait,
    /// A task run that asked to wait.
    Deferred,
}

/// What is going on with an attempt that has no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptPhase {
    /// Executing.
    Running,
    /// Waiting for a worker.
    Ready,
    /// Waiting for its instant.
    RetryWait,
}

/// One try at a task run, by one worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// From 1, over all generations, lost and never-started ones included.
    pub n: u32,
    /// Its fence.
    pub dispatch_no: u32,
    /// The try it is, from 1; lost attempts use up none.
    pub try_no: u32,
    /// Generation of the task run, from 0.
    pub generation: u32,
    /// How it ended; left out while it is live.
    pub outcome: Option<Outcome>,
    /// Where it is while it is live.
    pub state: Option<AttemptPhase>,
    /// Why it ended.
    pub cause: Option<Cause>,
    /// Why, in words; always.
    pub cause_words: String,
    /// Class of the error.
    pub class: Option<String>,
    /// What it said.
    pub message: Option<String>,
    /// Who executed it.
    pub worker: Option<String>,
    /// When a worker took it.
    pub claimed_at: Option<Time>,
    /// When its body began; left out if it never did.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// When it could have been taken.
    pub ready_at: Option<Time>,
    /// From ready to taken, or to now.
    pub wait_seconds: Option<f64>,
    /// From its start to its end, or to now.
    pub seconds: Option<f64>,
    /// It has a log.
    pub log: bool,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskError {
    /// Class of the error.
    pub class: String,
    /// All that was said.
    pub message: String,
    /// Its first line.
    pub line: String,
    /// Line of the log that shows it first, from 1.
    pub log_line: Option<u64>,
}

/// Mapped instances of a task run, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Instances {
    /// All.
    pub total: u32,
    /// Succeeded.
    pub succeeded: u32,
    /// Failed.
    pub failed: u32,
    /// Executing.
    pub running: u32,
    /// Not started.
    pub waiting: u32,
}

/// Parts of an attempt's work, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ItemCounts {
    /// Passed.
    pub pass: u32,
    /// Passed with a warning.
    pub warn: u32,
    /// Failed.
    pub fail: u32,
}

/// One task (and mapped instance) in one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskRun {
    /// The task.
    pub task: String,
    /// Its mapped instance.
    pub map_index: Option<i32>,
    /// Its task type.
    #[serde(rename = "type")]
    pub task_type: String,
    /// Where it is.
    pub state: TaskState,
    /// Why it ended.
    pub cause: Option<Cause>,
    /// Why, in words.
    pub cause_words: Option<String>,
    /// How often it was cleared.
    pub generation: u32,
    /// Direct upstreams.
    pub depends_on: Vec<String>,
    /// What went wrong.
    pub error: Option<TaskError>,
    /// Start of its first attempt of this generation.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Seconds that its last attempt ran.
    pub seconds: Option<f64>,
    /// Seconds that its last attempt waited for a worker.
    pub wait_seconds: Option<f64>,
    /// Its attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// Into how many instances it was expanded.
    pub expanded_n: Option<u32>,
    /// Those instances, counted.
    pub instances: Option<Instances>,
    /// Why it is not running.
    pub reason: Option<Reason>,
    /// Size of its output.
    pub output_bytes: Option<u64>,
    /// When its next try is due.
    pub retry_at: Option<Time>,
    /// Parts of its work, counted.
    pub items: Option<ItemCounts>,
}

/// Task runs of a run, in file order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskPage {
    /// The task runs.
    pub items: Vec<TaskRun>,
    /// Give it as `cursor` for the next page; null at the end.
    pub next: Option<String>,
}

/// A part of an attempt's work that is a row of its own (a dbt model, a quality rule).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Item {
    /// `dbt_model`, `dbt_test`, `quality_rule`, …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// In the words of the tool that made it.
    pub state: String,
    /// Seconds it took.
    pub seconds: Option<f64>,
    /// Its number, if it has one.
    pub value: Option<f64>,
    /// What it said.
    pub message: Option<String>,
}

/// A measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Metric {
    /// Name with its unit, as Prometheus writes it.
    pub name: String,
    /// The number.
    pub value: f64,
    /// Unit in words.
    pub unit: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A column of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatasetColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub column_type: String,
    /// Nulls in it, if they were counted.
    pub nulls: Option<u64>,
}

/// What a dataset looks like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DatasetPreview {
    /// Field of the output that holds it.
    pub name: String,
    /// Where it is.
    pub uri: String,
    /// `parquet`, `ndjson`, `csv`, …
    pub format: String,
    /// Rows.
    pub rows: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
    /// sha-256 of its content.
    pub sha256: Option<String>,
    /// Its columns.
    pub columns: Vec<DatasetColumn>,
    /// First rows (at most 50), one array of values each. What JSON cannot say is text: `NaN`, whole numbers beyond 2^53,
    /// decimals, instants, bytes (`0x…`).
    #[schema(value_type = Option<Vec<Vec<Value>>>)]
    pub sample: Option<Vec<Vec<Value>>>,
    /// Why there is no preview, or less of one.
    pub error: Option<String>,
}

/// The same task in an earlier run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskHistory {
    /// The run.
    pub run: Uuid,
    /// Where it is.
    pub state: TaskState,
    /// Seconds that it ran.
    pub seconds: Option<f64>,
    /// Attempts.
    pub attempts: u32,
    /// Logical date of that run.
    pub logical_date: Time,
}

/// Everything that the page of a task run shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskRunView {
    /// Its run.
    pub run: RunSummary,
    /// The task run.
    pub task_run: TaskRun,
    /// Params as written in the file.
    #[schema(value_type = Object)]
    pub params_written: Map<String, Value>,
    /// Params as the last attempt got them, secrets masked.
    #[schema(value_type = Option<Object>)]
    pub params_rendered: Option<Map<String, Value>>,
    /// The same of the run before, for the difference.
    #[schema(value_type = Option<Object>)]
    pub params_previous: Option<Map<String, Value>>,
    /// Output of its last attempt.
    pub output: Option<Value>,
    /// JSON Schema of the output.
    #[schema(value_type = Option<Object>)]
    pub output_schema: Option<Value>,
    /// Parts of its work.
    pub items: Vec<Item>,
    /// Measures that it recorded.
    pub metrics: Vec<Metric>,
    /// Datasets in its output.
    pub datasets: Vec<DatasetPreview>,
    /// All task runs of the run.
    pub siblings: Vec<TaskStateRef>,
    /// Its direct upstreams.
    pub upstream: Vec<TaskStateRef>,
    /// Its direct downstreams.
    pub downstream: Vec<String>,
    /// The same task in the last 20 runs.
    pub history: Vec<TaskHistory>,
    /// Attempt whose log comes along: the one that was asked for, else the newest, else the newest that left one.
    pub log_attempt: Option<u32>,
    /// That log around the line that was asked for, else around its first error, else its end.
    pub log_head: Option<LogPage>,
    /// Its mapped instances.
    pub instances: Option<Vec<TaskRun>>,
}
