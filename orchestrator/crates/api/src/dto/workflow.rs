//! Workflows.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Graph, Grid, RunPage, RunState, RunSummary, SchedulePreview, Time, Trigger};

/// Whether a workflow's file is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkflowState {
    /// It is.
    Active,
    /// It was deleted; its history stays.
    Retired,
}

/// What a workflow asks of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Attention {
    /// Its last finished run failed.
    Failing,
    /// A fire is due and has no run.
    Late,
    /// A run is under way.
    Running,
    /// Its last run ended well.
    Ok,
    /// It is paused.
    Paused,
    /// It never ran.
    None,
}

/// When it runs by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleText {
    /// As written.
    pub text: String,
    /// In words.
    pub words: String,
    /// IANA zone.
    pub timezone: String,
}

/// A recent run as a bar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunBar {
    /// The run.
    pub id: Uuid,
    /// Where it is.
    pub state: RunState,
    /// Why it exists.
    pub trigger: Trigger,
    /// Logical date.
    pub logical_date: Time,
    /// From start to end, or to now.
    pub seconds: Option<f64>,
    /// From its creation to its start, or to now.
    pub wait_seconds: Option<f64>,
    /// It succeeded and hides a failed task.
    pub masked: bool,
    /// Attempts beyond the first of each task run.
    pub attempts_extra: u32,
}

/// A workflow as a row of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowSummary {
    /// Its id, as in its file.
    pub id: String,
    /// What it is for.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// Its schedule makes no runs.
    pub paused: bool,
    /// Whether its file is there.
    pub state: WorkflowState,
    /// What it asks of people.
    pub attention: Attention,
    /// When it runs by itself.
    pub schedule: Option<ScheduleText>,
    /// Its next fire.
    pub next_fire: Option<Time>,
    /// Its last runs, oldest first, at most 20.
    pub recent: Vec<RunBar>,
    /// Its newest run.
    pub last_run: Option<RunSummary>,
    /// What a run usually takes.
    pub median_seconds: Option<f64>,
    /// What nineteen of twenty runs do not exceed.
    pub p95_seconds: Option<f64>,
    /// Why it does not run, in words.
    pub why_not: Option<String>,
    /// Diagnostics of its file.
    pub diagnostics: u32,
    /// Number of its newest version, from 1.
    pub version: u64,
    /// Its file.
    pub path: String,
}

/// Workflows, one page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowPage {
    /// The workflows.
    pub items: Vec<WorkflowSummary>,
    /// Give it as `cursor` for the next page; null at the end.
    pub next: Option<String>,
    /// Every tag in use.
    pub tags: Vec<String>,
}

/// A task as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowTask {
    /// Its id.
    pub id: String,
    /// Its task type.
    #[serde(rename = "type")]
    pub task_type: String,
    /// Direct upstreams.
    pub depends_on: Vec<String>,
    /// When it may start.
    pub trigger_rule: String,
    /// Its condition: false where it would start = it is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Named connection.
    pub conn: Option<String>,
}

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It cannot be run.
    Error,
    /// Likely not meant.
    Warning,
}

/// Something that is wrong with a file, or with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Diagnostic {
    /// Stable code: `W201`, `param_unfit`.
    pub code: String,
    /// How bad.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// The file, or the JSON pointer into the request.
    pub path: String,
    /// Line, from 1; 0 for a request.
    pub line: u32,
    /// Column in characters, from 1; 0 for a request.
    pub column: u32,
    /// Line of the first character after.
    pub end_line: Option<u32>,
    /// Column of the first character after.
    pub end_column: Option<u32>,
    /// What to do.
    pub hint: Option<String>,
    /// The lines around.
    pub excerpt: Option<String>,
}

/// A file with diagnostics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileDiagnostics {
    /// The file.
    pub path: String,
    /// The workflow that it defines, if that can be read.
    pub workflow: Option<String>,
    /// Since when.
    pub since: Time,
    /// The last good version, which still runs.
    pub kept_version: Option<u64>,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
}

/// A workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Workflow {
    /// As in lists.
    #[serde(flatten)]
    pub summary: WorkflowSummary,
    /// JSON Schema of the trigger form: one object.
    #[schema(value_type = Object)]
    pub params_schema: Value,
    /// Params of the newest run.
    #[schema(value_type = Option<Object>)]
    pub last_params: Option<Map<String, Value>>,
    /// Its tasks, in file order.
    pub tasks: Vec<WorkflowTask>,
    /// What is done about missed fires.
    pub catchup: String,
    /// `window` or `point`.
    pub data_interval: String,
    /// Runs at one time.
    pub max_active_runs: u32,
    /// Task runs of one run at one time.
    pub max_active_tasks: Option<u32>,
    /// What a fire does while a run is under way: `queue`, `skip`, `allow`.
    pub overlap: String,
    /// Longest life of a run.
    pub timeout_seconds: Option<f64>,
    /// No scheduled run before.
    pub start_date: Option<Time>,
    /// No scheduled run after.
    pub end_date: Option<Time>,
    /// Diagnostics of its file.
    pub diagnostics_list: Vec<Diagnostic>,
    /// How many versions there are.
    pub versions: u64,
    /// Fires that were skipped, ever.
    pub skipped_fires: u64,
    /// sha-256 of its newest source.
    pub sha256: String,
    /// Folder that it was published from.
    pub source_id: Option<String>,
}

/// A version as a row of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// From 1.
    pub version: u64,
    /// sha-256 of its source.
    pub sha256: String,
    /// When it was published first.
    pub created_at: Time,
    /// Its file.
    pub path: String,
    /// New runs are of this one.
    pub current: bool,
    /// Runs of it, if they were counted.
    pub runs: Option<u64>,
}

/// Versions, newest first, one page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionPage {
    /// The versions.
    pub items: Vec<Version>,
    /// Give it as `cursor` for the next page; null at the end.
    pub next: Option<String>,
}

/// A version with its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionDetail {
    /// From 1.
    pub version: u64,
    /// sha-256 of its source.
    pub sha256: String,
    /// The file's text.
    pub source: String,
    /// Its file.
    pub path: String,
    /// When it was published first.
    pub created_at: Time,
    /// What `check` says about it today.
    pub diagnostics: Vec<Diagnostic>,
}

/// A run as a point of the durations chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DurationPoint {
    /// The run.
    pub run: Uuid,
    /// When it was made.
    pub at: Time,
    /// From start to end.
    pub seconds: Option<f64>,
    /// From its creation to its start.
    pub wait_seconds: Option<f64>,
    /// Where it is.
    pub state: RunState,
    /// Why it exists.
    pub trigger: Trigger,
    /// Number of its version.
    pub version: u64,
}

/// How long a task takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskDurations {
    /// The task.
    pub task: String,
    /// Median of its duration.
    pub median_seconds: Option<f64>,
    /// What nineteen of twenty do not exceed.
    pub p95_seconds: Option<f64>,
    /// Median of its wait for a worker.
    pub wait_median_seconds: Option<f64>,
    /// Attempts beyond the first.
    pub retries: u32,
    /// Task runs that failed.
    pub failures: u32,
    /// Runs that these numbers are of.
    pub runs: u32,
}

/// How long runs and their tasks take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Durations {
    /// Runs, oldest first.
    pub points: Vec<DurationPoint>,
    /// Median.
    pub median_seconds: Option<f64>,
    /// What nineteen of twenty do not exceed.
    pub p95_seconds: Option<f64>,
    /// Its tasks.
    pub tasks: Vec<TaskDurations>,
}

/// A day with runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CalendarDay {
    /// Civil date in the zone.
    pub date: String,
    /// Runs that succeeded.
    pub succeeded: u32,
    /// Runs that failed.
    pub failed: u32,
    /// Others.
    pub other: u32,
}

/// A day with fires to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedDay {
    /// Civil date in the zone.
    pub date: String,
    /// Fires.
    pub count: u32,
}

/// A year of runs, by the day they ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Calendar {
    /// The year.
    pub year: i32,
    /// IANA zone of the days.
    pub zone: String,
    /// Days with runs.
    pub days: Vec<CalendarDay>,
    /// Days with fires to come.
    pub planned: Vec<PlannedDay>,
    /// Days with a failed run.
    pub failing_days: u32,
}

/// Files of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowCode {
    /// Its newest versions, newest first.
    pub versions: Vec<Version>,
    /// The version that was asked for, else the newest.
    pub version: VersionDetail,
    /// The version that it is compared with, if one was asked for.
    pub against: Option<VersionDetail>,
}

/// Everything that the page of a workflow shows: its facts, and one view of it. The other views are null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkflowView {
    /// The workflow.
    pub workflow: Workflow,
    /// Runs by tasks.
    pub grid: Option<Grid>,
    /// Its graph with coordinates.
    pub graph: Option<Graph>,
    /// Its runs, one page.
    pub runs: Option<RunPage>,
    /// How long runs and their tasks take.
    pub durations: Option<Durations>,
    /// A year of runs.
    pub calendar: Option<Calendar>,
    /// The schedule and its next fires.
    pub schedule: Option<SchedulePreview>,
    /// Its file, in versions.
    pub code: Option<WorkflowCode>,
}
