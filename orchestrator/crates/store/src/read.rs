//! History as people and programs read it. Never used by the engine to decide.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use updraft_model::event::Event;
use updraft_model::id::{RunId, TaskId, TaskKey, VersionId};
use updraft_model::record::{AttemptRow, ClearedRow, RunMetric, RunRow, TaskItem, TaskRunRow, WorkRow};
use updraft_model::state::RunState;
use updraft_model::time::Timestamp;

use crate::StoreError;

/// Which runs, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFilter {
    /// Of this workflow.
    pub workflow: Option<String>,
    /// In one of these states; empty = any.
    pub states: Vec<RunState>,
    /// Older than this run (keyset paging: the last id of the page before).
    pub before: Option<RunId>,
    /// At most this many.
    pub limit: u32,
}

/// A run with its workflow's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// Name of the workflow.
    pub workflow: String,
    /// Its row.
    pub row: RunRow,
    /// Its chosen tasks (`--task`), `None` = all.
    pub only: Option<Vec<TaskId>>,
}

/// Everything that is shown of a run's tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunDetail {
    /// The run.
    pub run: RunView,
    /// Task runs that are over.
    pub task_runs: Vec<TaskRunRow>,
    /// Mapped tasks, with the number of their instances. Instances that have not begun are in no other list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expanded: Vec<(TaskId, u32)>,
    /// Task runs that are dispatched.
    pub work: Vec<WorkRow>,
    /// Attempts that are over, by key and `dispatch_no`.
    pub attempts: Vec<AttemptRow>,
    /// Parts of attempts: key, `dispatch_no`, item, in the order they were recorded.
    pub items: Vec<(TaskKey, u32, TaskItem)>,
    /// Measures, with the task that recorded them.
    pub metrics: Vec<(TaskId, RunMetric)>,
}

/// The mapped tasks among these rows, by name, with the number of their instances.
pub fn expanded(over: &[TaskRunRow], cleared: &[ClearedRow]) -> Vec<(TaskId, u32)> {
    let over = over.iter().map(|row| (&row.key, row.expanded_n));
    let all = over.chain(cleared.iter().map(|row| (&row.key, row.expanded_n)));
    let mut found: Vec<(TaskId, u32)> = all.filter_map(|(key, n)| Some((key.task.clone(), n?))).collect();
    found.sort_unstable();
    found
}

/// A workflow version as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionView {
    /// Name of the workflow.
    pub workflow: String,
    /// Its number.
    pub version_id: VersionId,
    /// sha-256 of the source, hex.
    pub sha256: String,
    /// The file's text.
    pub source: String,
    /// Where it came from.
    pub path: String,
    /// The workflow as JSON.
    pub compiled: String,
}

/// One `run_log` row for readers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The version it led to.
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub actor: String,
    /// What happened.
    pub events: Vec<Event>,
}

/// Reads of history. Implementations use connections of their own, never the engine's.
#[async_trait]
pub trait Reader: Send + Sync + 'static {
    /// Runs, newest first.
    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunView>, StoreError>;

    /// One run.
    async fn run(&self, run: RunId) -> Result<Option<RunView>, StoreError>;

    /// Ids of runs whose text begins with `prefix` (≥ 4 hex digits), newest first, at most 10.
    async fn runs_by_prefix(&self, prefix: &str) -> Result<Vec<RunId>, StoreError>;

    /// A run with its tasks, in one snapshot.
    async fn detail(&self, run: RunId) -> Result<Option<RunDetail>, StoreError>;

    /// Outputs of attempts, by key and `dispatch_no`, in one statement.
    async fn outputs(&self, run: RunId, of: &[(TaskKey, u32)]) -> Result<Vec<(TaskKey, String)>, StoreError>;

    /// A run's events, oldest first, from a version on.
    async fn history(&self, run: RunId, from: u64) -> Result<Vec<HistoryEntry>, StoreError>;

    /// A version.
    async fn version(&self, version: VersionId) -> Result<Option<VersionView>, StoreError>;
}
