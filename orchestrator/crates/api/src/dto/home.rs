//! The first page: what failed, what is late, what runs, health.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{FileDiagnostics, NextFire, Reason, RunSummary, Time, Trigger, WaitState};

/// The span that the counts are about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HomeWindow {
    /// From.
    pub since: Time,
    /// Until.
    pub until: Time,
    /// What is counted, in words.
    pub label: String,
}

/// Counts of the window, and of now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HomeCounts {
    /// Runs that ended as failed in the window.
    pub failed: u64,
    /// Fires that are due and have no run.
    pub late: u64,
    /// Runs under way.
    pub running: u64,
    /// Runs that wait for a run slot.
    pub queued: u64,
    /// Task runs that wait for a worker or a limit.
    pub waiting_tasks: u64,
    /// Runs that succeeded in the window.
    pub succeeded: u64,
    /// Fires of the window that were skipped.
    pub skipped_fires: u64,
}

/// What kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IncidentKind {
    /// A run failed.
    RunFailed,
    /// A run succeeded and hides a failed task.
    MaskedFailure,
    /// A run was set aside.
    RunBroken,
    /// A worker died with attempts.
    WorkerLost,
    /// A fire is due and has no run.
    Late,
    /// A workflow file has errors.
    FileBroken,
    /// Fires were skipped.
    FiresSkipped,
}

/// What a retry would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IncidentRetry {
    /// What the button says.
    pub label: String,
    /// Task runs that it touches.
    pub tasks: u32,
}

/// Something that a person should look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Incident {
    /// Stable while it lasts.
    pub id: String,
    /// What kind.
    pub kind: IncidentKind,
    /// The workflow; empty for a worker or a file without an id.
    pub workflow: String,
    /// The run.
    pub run: Option<Uuid>,
    /// The task.
    pub task: Option<String>,
    /// Its mapped instance.
    pub map_index: Option<i32>,
    /// When it happened.
    pub at: Time,
    /// The attempt that decided it, from 1.
    pub attempt: Option<u32>,
    /// Attempts that it could have.
    pub attempts: Option<u32>,
    /// Why, in words; never empty.
    pub cause: String,
    /// Class of the error.
    pub error_class: Option<String>,
    /// First line of the error.
    pub line: Option<String>,
    /// Line of the log that shows it first.
    pub log_line: Option<u64>,
    /// Tasks that did not run because of it.
    pub blocked: u32,
    /// Why the run exists.
    pub trigger: Option<Trigger>,
    /// Logical date of the run.
    pub logical_date: Option<Time>,
    /// Failing since.
    pub since: Option<Time>,
    /// Runs that failed one after the other, this one included.
    pub failures_in_row: Option<u32>,
    /// What can be done.
    pub retry: Option<IncidentRetry>,
}

/// Something that waits, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WaitingTask {
    /// The workflow.
    pub workflow: String,
    /// The run.
    pub run: Option<Uuid>,
    /// The task; left out for a queued run.
    pub task: Option<String>,
    /// Its mapped instance.
    pub map_index: Option<i32>,
    /// Where it is.
    pub state: WaitState,
    /// Since when.
    pub since: Time,
    /// Why.
    pub reason: Reason,
}

/// A fire that is due and has no run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LateFire {
    /// The workflow.
    pub workflow: String,
    /// When it was due.
    pub due: Time,
    /// How late it is.
    pub late_seconds: f64,
    /// Why, in words.
    pub reason: String,
}

/// Parts of the installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthName {
    /// The database.
    Store,
    /// What fires schedules.
    Scheduler,
    /// Who executes.
    Workers,
    /// The workflow files.
    Catalog,
    /// This server.
    Api,
}

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// Good.
    Ok,
    /// Look at it.
    Warn,
    /// It does not work.
    Down,
}

/// How a part of the installation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthItem {
    /// Which.
    pub name: HealthName,
    /// How.
    pub state: HealthState,
    /// In words.
    pub text: String,
}

/// The first page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Home {
    /// The server's clock.
    pub now: Time,
    /// What the counts are about.
    pub window: HomeWindow,
    /// The counts.
    pub counts: HomeCounts,
    /// Trouble, newest first, at most 50.
    pub incidents: Vec<Incident>,
    /// Runs under way, newest first, at most 50.
    pub running: Vec<RunSummary>,
    /// What waits, at most 50.
    pub waiting: Vec<WaitingTask>,
    /// The next five fires.
    pub next: Vec<NextFire>,
    /// Fires that are due and have no run.
    pub late: Vec<LateFire>,
    /// Files with errors.
    pub broken_files: Vec<FileDiagnostics>,
    /// Parts of the installation.
    pub health: Vec<HealthItem>,
}
