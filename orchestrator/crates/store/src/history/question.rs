//! What is asked of a database. A store answers questions with rows, in one snapshot; what is made of the rows is the same
//! for all of them (`answers`).

use async_trait::async_trait;
use updraft_model::id::{RunId, TaskKey, VersionId};
use updraft_model::time::Timestamp;

use super::facts::FactsCache;
use super::plan::Part;
use super::tuple::Tuple;
use super::{HomeAsk, Note};
use crate::StoreError;

/// A question to a database. The columns of its rows are said at the function of [`super::shape`] that reads them.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// `workflow_id, current_version_id` of a name.
    Workflow(String),
    /// `workflow_id` of names like a pattern.
    NamedLike(String),
    /// `run_id` of notes like a pattern.
    NotedLike(String),
    /// Run lines.
    RunLines(Vec<Part>),
    /// Lines of these runs.
    RunLinesOf(Vec<RunId>),
    /// `workflow_id, durations` of the last succeeded runs.
    UsualOf(Vec<i64>),
    /// All workflows, without bars.
    Workflows,
    /// One workflow, without bars.
    OneWorkflow(String),
    /// Bars of workflows.
    Bars(Vec<i64>, u32),
    /// `created_at` of a run.
    Created(RunId),
    /// `version_id, compiled`.
    Compiled(Vec<VersionId>),
    /// Runs of a grid.
    Grid(Vec<Part>),
    /// The newest runs of a workflow with what their task runs took.
    Durations(i64, u32),
    /// The last succeeded runs with what their task runs took.
    Usual(String, u32),
    /// `day, state, count` for spans of one UTC offset each: from, until, offset in milliseconds.
    Calendar(String, Vec<(Timestamp, Timestamp, i64)>),
    /// `state, count` of runs that ended.
    OverCounts(HomeAsk),
    /// `state, count` of what stands.
    OpenCounts(HomeAsk),
    /// Runs that went wrong.
    Incidents(HomeAsk),
    /// Attempts that were lost.
    Lost(HomeAsk),
    /// What waits.
    Waiting(u32),
    /// Task runs of one task.
    TaskHistory(String, TaskKey, u32),
    /// `run_id`, 0 = before, 1 = after.
    Neighbours(RunId),
    /// Versions of a workflow with smaller numbers.
    Versions(String, u32, u32),
    /// A version by number; 0 = the current one.
    Version(String, u32),
    /// `version, at, actor, body` after a version.
    Events(RunId, u64, u32),
    /// Attempts of a run, or of one task run.
    Attempts(RunId, Option<TaskKey>),
    /// Items of a task run.
    Items(RunId, TaskKey),
    /// Measures of a task.
    Metrics(RunId, String),
    /// `output` of an attempt.
    Output(RunId, TaskKey, u32),
    /// `queue, ready, executing, oldest`.
    Queues,
    /// `bytes`.
    Size,
    /// `note, by, at`.
    Note(RunId),
}

/// A database that answers.
#[async_trait]
pub trait Answers: Send + Sync + 'static {
    /// Rows for each question, all in one snapshot.
    async fn answers(&self, questions: Vec<Question>) -> Result<Vec<Vec<Tuple>>, StoreError>;

    /// Versions that were read before.
    fn facts(&self) -> &FactsCache;

    /// Writes or (if it is empty) removes a note; whether there is such a run.
    async fn write_note(&self, run: RunId, note: &Note) -> Result<bool, StoreError>;
}
