//! What a mutation would do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::TaskState;

/// What would happen to a task run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanEffect {
    /// It runs again.
    Rerun,
    /// It ends as cancelled, without having started.
    Cancel,
    /// It is told to stop.
    Stop,
    /// The new version does not have it.
    Remove,
    /// Its state is set.
    Mark,
    /// It starts.
    Start,
}

/// A task run that would be touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanTask {
    /// The task.
    pub task: String,
    /// Its mapped instance.
    pub map_index: Option<i32>,
    /// Where it is now.
    pub state: TaskState,
    /// What would happen.
    pub effect: PlanEffect,
    /// Why it is among them, in words.
    pub why: String,
}

/// From which version to which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanVersions {
    /// The version it is on.
    pub from: u64,
    /// The version it would be on.
    pub to: u64,
}

/// What a mutation would do. Nothing was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// `trigger`, `cancel`, `retry`, `mark`, `pause`, `unpause`, `repair`.
    pub action: String,
    /// What the button says: `Re-run 10 tasks`.
    pub text: String,
    /// The run.
    pub run: Option<Uuid>,
    /// The workflow.
    pub workflow: Option<String>,
    /// A change of version.
    pub version: Option<PlanVersions>,
    /// The task runs that it would touch.
    pub tasks: Vec<PlanTask>,
    /// Runs that it would touch or make.
    pub runs: u32,
    /// What it usually takes.
    pub estimate_seconds: Option<f64>,
    /// What should be known before.
    pub warnings: Vec<String>,
}
