//! What the engine hands to [`crate::Store::commit`] and what comes back.

use updraft_model::event::Event;
use updraft_model::id::{AttemptId, RunId, Stamp, TaskKey, WorkerNo};
use updraft_model::record::{ClearedRow, EndedAttempt, RunFacts, RunProjection, RunRow, TaskRunRow, WorkRow};
use updraft_model::time::Timestamp;

/// What a run must look like for its part of a commit to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// It must not exist, and its `run_key` must be free in its workflow.
    New(Box<RunFacts>),
    /// It must stand at this version under this stamp.
    At {
        /// The version.
        version: u64,
        /// The stamp.
        stamp: Stamp,
    },
}

/// One run's part of a commit: events and the rows that follow from them.
#[derive(Debug, Clone, PartialEq)]
pub struct RunCommit {
    /// The run.
    pub run_id: RunId,
    /// What must be true; the new version is one more (1 for a new run).
    pub expected: Expected,
    /// Id of this commit, made by the client so that an unknown outcome can be told.
    pub stamp: Stamp,
    /// Who caused it: `worker:3`, `cli:user@host`, …
    pub actor: String,
    /// One `run_log` row. With a `run_reopened` the run's row takes its version, and its queue if it names one.
    pub events: Vec<Event>,
    /// The run's row afterwards.
    pub run: RunProjection,
    /// Attempts that end; each is a fence: `work` must carry its `dispatch_no` and `attempt_id`.
    pub ended: Vec<EndedAttempt>,
    /// `task_run` rows to insert or replace: task runs that are over.
    pub task_runs: Vec<TaskRunRow>,
    /// `task_run` rows to insert or replace: task runs that begin anew. Their keys are disjoint from `task_runs`.
    pub cleared: Vec<ClearedRow>,
    /// `work` rows to insert or replace. Keys are disjoint from `removed`.
    pub work: Vec<WorkRow>,
    /// `work` rows to delete.
    pub removed: Vec<TaskKey>,
}

/// Ready rows that the same commit claims for this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// From this queue.
    pub queue: String,
    /// One id per free slot, made by the client.
    pub attempts: Vec<AttemptId>,
}

/// A group commit: all of it is written, or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Who commits; its claims (`x` rows of its own) count only while it is active.
    pub worker_no: WorkerNo,
    /// The instant that all rows carry.
    pub at: Timestamp,
    /// One part a run, no run twice.
    pub runs: Vec<RunCommit>,
    /// What to claim besides.
    pub pick: Option<Pick>,
}

/// Why a run kept a batch from being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Another transaction holds it, or it moved on (version or stamp differ): take a lane.
    Contended,
    /// These attempts are no longer the ones in `work`: drop their results.
    Fenced(Vec<TaskKey>),
    /// A run with this key exists in its workflow.
    KeyTaken,
}

/// Answer to a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Committed {
    /// All was written.
    Applied {
        /// Rows claimed by [`Pick`].
        picked: Vec<WorkRow>,
    },
    /// Nothing was written.
    Refused {
        /// The runs that stood in the way; all others of the batch may be sent again at once.
        runs: Vec<(RunId, Refusal)>,
        /// The committing worker is not active: send again without claims.
        worker_inactive: bool,
    },
}

/// What [`crate::Store::commit_locked`] does besides locking and loading the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Nothing.
    Plain,
    /// Deletes the run's `work` rows that do not execute and flags those that do (`cancel_at`).
    Cancel,
    /// Looks for rows that this worker executes.
    Reap(WorkerNo),
    /// Holds all its `work` rows, so that nobody claims one before the lane has written: for clearing and marking. Workers
    /// whose attempts it ends are woken as by a cancel. Before the run, its workflow is locked, so that a run that is
    /// re-opened counts among those that run.
    Clear,
}

/// A run under its lock.
#[derive(Debug, Clone, PartialEq)]
pub struct Locked {
    /// Everything about it.
    pub run: LoadedRun,
    /// `work` rows deleted by [`Lane::Cancel`].
    pub removed: Vec<WorkRow>,
    /// `work` rows that execute: all of them, or with [`Lane::Reap`] those of that worker.
    pub executing: Vec<WorkRow>,
    /// How busy its workflow is, itself included, with [`Lane::Clear`].
    pub room: Option<updraft_model::schedule::plan::Room>,
}

/// The full projection of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedRun {
    /// Its row.
    pub row: RunRow,
    /// Its chosen tasks (`only` of `run_created`), `None` = all.
    pub only: Option<Vec<updraft_model::id::TaskId>>,
    /// Number of events so far.
    pub events: u64,
    /// Its `task_run` rows of task runs that are over.
    pub task_runs: Vec<TaskRunRow>,
    /// Its `task_run` rows of task runs that begin anew.
    pub cleared: Vec<ClearedRow>,
    /// Its `work` rows.
    pub work: Vec<WorkRow>,
}

/// One `run_log` row.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// The version it led to.
    pub version: u64,
    /// Its commit.
    pub stamp: Stamp,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub actor: String,
    /// What happened.
    pub events: Vec<Event>,
}

/// Answer to [`crate::Store::load`] for one run.
#[derive(Debug, Clone, PartialEq)]
pub enum Loaded {
    /// The known state is still true.
    Unchanged(RunId),
    /// What happened since the known version, oldest first; its first row follows directly on the known stamp.
    Tail(RunId, Vec<LogEntry>),
    /// Everything.
    Full(Box<LoadedRun>),
    /// No such run.
    Missing(RunId),
}
