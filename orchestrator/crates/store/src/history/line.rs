//! Rows of lists.

use updraft_model::id::{RunId, TaskKey, VersionId, WorkflowId};
use updraft_model::state::{Cause, RunState, Trigger};
use updraft_model::time::{DataInterval, Timestamp};

/// The first failure of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The task run.
    pub key: TaskKey,
    /// Number of the attempt that decided it, from 1; 0: none did.
    pub attempt: u32,
    /// Attempts of that task run.
    pub attempts: u32,
    /// Why it failed.
    pub cause: Cause,
    /// Error class.
    pub class: Option<String>,
    /// First line of the message, never empty.
    pub line: Option<String>,
}

/// A run in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct RunLine {
    /// The run.
    pub run_id: RunId,
    /// Its workflow.
    pub workflow_id: WorkflowId,
    /// Name of its workflow.
    pub workflow: String,
    /// The pinned version.
    pub version_id: VersionId,
    /// Number of that version in the workflow, from 1.
    pub version_no: u32,
    /// Unique in the workflow.
    pub run_key: String,
    /// Where it is.
    pub state: RunState,
    /// Why it ended or is about to.
    pub cause: Option<Cause>,
    /// Why it exists.
    pub trigger: Trigger,
    /// Logical date.
    pub logical_at: Timestamp,
    /// The data it is for.
    pub interval: DataInterval,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it took its slot.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How often it was re-opened.
    pub generation: u32,
    /// Number of commits.
    pub version: u64,
    /// Where its tasks are claimed from.
    pub queue: String,
    /// Larger goes first.
    pub priority: i32,
    /// Who asked for it.
    pub by: String,
    /// Its note.
    pub note: Option<String>,
    /// Tasks of the run (a mapped one counts once).
    pub tasks_total: u32,
    /// Those that are over.
    pub tasks_done: u32,
    /// Attempts beyond the first, over all task runs.
    pub attempts_extra: u32,
    /// Task runs that failed.
    pub failed_tasks: u32,
    /// The first of them.
    pub failure: Option<Failure>,
    /// Median of its workflow's last succeeded runs, milliseconds.
    pub usual_ms: Option<i64>,
}

impl RunLine {
    /// It succeeded and hides a failed task run.
    pub fn masked(&self) -> bool {
        self.state == RunState::Succeeded && self.failed_tasks > 0
    }
}

/// A run as a bar of a strip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunBar {
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
    /// It succeeded and hides a failed task run.
    pub masked: bool,
    /// Attempts beyond the first, over all task runs.
    pub attempts_extra: u32,
}

/// Median and 95th percentile, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// The middle one (of an even number, the mean of both).
    pub median: i64,
    /// The nearest rank at 95 %.
    pub p95: i64,
}

/// What about a workflow wants to be looked at. The order is the one of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attention {
    /// Its last run that is over failed, or one is broken.
    Failing,
    /// A fire is overdue.
    Late,
    /// A run is under way.
    Running,
    /// Its last run ended well.
    Ok,
    /// It is paused.
    Paused,
    /// It never ran, or is retired.
    None,
}

/// A workflow in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkflowLine {
    /// Its number in the store.
    pub workflow_id: WorkflowId,
    /// Its name.
    pub name: String,
    /// The version that new runs take.
    pub version_id: VersionId,
    /// Its number in the workflow, from 1.
    pub version_no: u32,
    /// How many versions there are.
    pub versions: u32,
    /// Where it came from.
    pub path: String,
    /// sha-256 of its source, hex.
    pub sha256: String,
    /// What it is for.
    pub description: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// How many tasks it has.
    pub tasks: u32,
    /// It fires nothing until it is unpaused.
    pub paused: bool,
    /// Its file is gone.
    pub retired: bool,
    /// When it fires next.
    pub next_fire: Option<Timestamp>,
    /// What about it wants to be looked at.
    pub attention: Attention,
    /// Runs that are not over.
    pub open_runs: u32,
    /// Its newest run.
    pub last_run: Option<RunBar>,
    /// Its newest runs, oldest first, at most [`BARS`].
    pub bars: Vec<RunBar>,
    /// Of those of `bars` that succeeded, milliseconds.
    pub usual: Option<Spread>,
}

/// Bars of a workflow in a list.
pub const BARS: u32 = 20;

/// A page of workflows.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkflowsPage {
    /// Its rows.
    pub items: Vec<WorkflowLine>,
    /// Name of the last one, if there are more.
    pub next: Option<String>,
    /// Every tag that any workflow has, sorted.
    pub tags: Vec<String>,
}
