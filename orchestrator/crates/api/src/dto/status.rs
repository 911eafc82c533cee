//! The installation.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Effects, FileDiagnostics, Time};

/// The database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreStatus {
    /// `sqlite` or `postgres`.
    pub kind: String,
    /// It answers.
    pub ok: bool,
    /// How fast it answered.
    pub latency_ms: Option<f64>,
    /// Number of its last migration.
    pub schema: i64,
    /// Its size.
    pub size_bytes: Option<u64>,
    /// Commits survive a power cut.
    pub durable: Option<bool>,
    /// In words.
    pub text: String,
}

/// Where a worker is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerStatus {
    /// Its number.
    pub no: i64,
    /// What it calls itself.
    pub name: String,
    /// Its host.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// Its build.
    pub build: String,
    /// `active`, `suspect`, `draining`, `dead`, `gone`.
    pub state: String,
    /// Attempts that it runs at one time.
    pub slots: u32,
    /// Attempts that it runs now.
    pub busy: u32,
    /// Queues that it serves.
    pub queues: Vec<String>,
    /// End of its lease.
    pub lease_until: Time,
    /// Since its last heartbeat.
    pub last_seen_seconds: Option<f64>,
    /// Evidence that its process lives, where there is such evidence.
    pub evidence: Option<bool>,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueueStatus {
    /// Its name.
    pub queue: String,
    /// Task runs that wait.
    pub ready: u64,
    /// Task runs that execute.
    pub executing: u64,
    /// How long the oldest waits.
    pub oldest_seconds: Option<f64>,
}

/// All schedules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleStatus {
    /// How many.
    pub total: u64,
    /// Due and without a run.
    pub due: u64,
    /// The next fire.
    pub next: Option<Time>,
    /// Fires that were skipped, ever.
    pub skipped_fires: u64,
}

/// A process that published another content of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConflictSource {
    /// The file.
    pub path: String,
    /// sha-256 of what it published.
    pub sha256: String,
    /// Who.
    pub by: String,
    /// When.
    pub at: Time,
}

/// Processes that disagree about a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Conflict {
    /// The workflow.
    pub workflow: String,
    /// Who published what; the first one stands.
    pub sources: Vec<ConflictSource>,
}

/// The workflow files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CatalogStatus {
    /// Workflows.
    pub workflows: u64,
    /// Files.
    pub files: u64,
    /// Files with errors.
    pub broken: Vec<FileDiagnostics>,
    /// Disagreements.
    pub conflicts: Vec<Conflict>,
    /// When they were read last.
    pub loaded_at: Option<Time>,
}

/// A job of the daemon's own upkeep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpkeepJob {
    /// Its name.
    pub name: String,
    /// When it ran last.
    pub last: Option<Time>,
    /// When it runs next.
    pub next: Option<Time>,
    /// What it did.
    pub text: String,
}

/// The installation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Version of this build.
    pub version: String,
    /// What it was built from.
    pub build: String,
    /// Since when this process runs.
    pub started_at: Time,
    /// Its clock.
    pub now: Time,
    /// The database.
    pub store: StoreStatus,
    /// The zone database that counts.
    pub tzdb: String,
    /// Workers.
    pub workers: Vec<WorkerStatus>,
    /// Queues.
    pub queues: Vec<QueueStatus>,
    /// Schedules.
    pub schedules: ScheduleStatus,
    /// Workflow files.
    pub catalog: CatalogStatus,
    /// The daemon's own upkeep.
    pub upkeep: Vec<UpkeepJob>,
}

/// A task type that this build knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskType {
    /// Its name.
    #[serde(rename = "type")]
    pub task_type: String,
    /// One line.
    pub summary: String,
    /// What a repeated execution does.
    pub effects: Effects,
    /// JSON Schema of `with:`.
    #[schema(value_type = Object)]
    pub params_schema: Value,
    /// JSON Schema of its output.
    #[schema(value_type = Object)]
    pub output_schema: Value,
}

/// Task types.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskTypes {
    /// By name.
    pub items: Vec<TaskType>,
}
