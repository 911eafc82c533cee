//! The grid of a workflow: runs by tasks, kept small because it is the largest answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{RunState, Time, Trigger};

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GridTask {
    /// The task.
    pub id: String,
    /// Its task type; empty for a task that no longer exists.
    #[serde(rename = "type")]
    pub task_type: String,
    /// Longest way from a task without upstreams.
    pub depth: u32,
    /// It is not in the newest version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<bool>,
}

/// What is to be said about a cell besides its state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CellExtra {
    /// Attempts, if more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a: Option<u32>,
    /// Milliseconds that it waited for a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub w: Option<u64>,
    /// Milliseconds that it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub m: Option<u64>,
    /// Mapped instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    /// Of them succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ns: Option<u32>,
    /// Of them failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nf: Option<u32>,
    /// Of them running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nr: Option<u32>,
    /// First line of the error, short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GridRun {
    /// The run.
    pub id: Uuid,
    /// Where it is.
    pub state: RunState,
    /// Why it exists.
    pub trigger: Trigger,
    /// Logical date.
    pub logical_date: Time,
    /// When it was made.
    pub created_at: Time,
    /// When it took its run slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// From start to end, or to now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// From its creation to its start, or to now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<f64>,
    /// Number of its version, from 1.
    pub version: u64,
    /// Its version differs from the run before it.
    pub version_changed: bool,
    /// It succeeded and hides a failed task.
    pub masked: bool,
    /// How often it was re-opened.
    pub generation: u32,
    /// One character per task: `s` succeeded, `f` failed, `k` skipped, `u` upstream failed, `c` cancelled, `r` running,
    /// `y` ready, `w` waiting, `t` waits for a retry, `d` deferred, `x` removed, `.` none.
    pub cells: String,
    /// By position of the task, where there is something to say. Of more than 100 runs, cells that only waited are left out.
    pub extra: BTreeMap<String, CellExtra>,
}

/// Runs by tasks; columns from oldest to newest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Grid {
    /// The workflow.
    pub workflow: String,
    /// Rows.
    pub tasks: Vec<GridTask>,
    /// Columns.
    pub runs: Vec<GridRun>,
    /// There are older runs.
    pub more: bool,
    /// What a run usually takes.
    pub median_seconds: Option<f64>,
    /// Next fires.
    pub planned: Vec<Time>,
}
