//! What the home page is made of.

use updraft_model::id::{RunId, TaskKey};
use updraft_model::state::{RunState, TaskRunState, Trigger};
use updraft_model::time::Timestamp;

use super::line::{Failure, RunLine};

/// What home is asked for: what happened in `[since, until)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HomeAsk {
    /// Not before.
    pub since: Timestamp,
    /// Before.
    pub until: Timestamp,
    /// Rows of each list, at most.
    pub limit: u32,
}

/// Numbers of home. Those of runs that are over count by when they ended, the others as they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HomeCounts {
    /// Ended in the window as failed.
    pub failed: u32,
    /// Ended in the window as succeeded.
    pub succeeded: u32,
    /// Ended in the window as cancelled.
    pub cancelled: u32,
    /// Ended in the window as succeeded, hiding a failed task run.
    pub masked: u32,
    /// Running or being stopped.
    pub running: u32,
    /// Waiting for a run slot.
    pub queued: u32,
    /// Set aside.
    pub broken: u32,
    /// Dispatched task runs that do not execute.
    pub waiting_tasks: u32,
}

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IncidentKind {
    /// A run failed.
    RunFailed,
    /// A run succeeded and hides a failed task run.
    MaskedFailure,
    /// A run is set aside.
    RunBroken,
    /// An attempt was lost with its worker.
    WorkerLost,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// What kind.
    pub kind: IncidentKind,
    /// When it happened.
    pub at: Timestamp,
    /// The run.
    pub run_id: RunId,
    /// Name of its workflow.
    pub workflow: String,
    /// State of the run now.
    pub run_state: RunState,
    /// Why the run exists.
    pub trigger: Trigger,
    /// Its logical date.
    pub logical_at: Timestamp,
    /// The task run that it is about, and what it said.
    pub failure: Option<Failure>,
    /// Why the run ended, where no task run says it (`run_timeout`).
    pub cause: Option<updraft_model::state::Cause>,
    /// Tasks that did not run because of it.
    pub blocked: u32,
    /// Of [`IncidentKind::WorkerLost`]: the worker's name.
    pub worker: Option<String>,
    /// End of the first of the failures in a row that this one belongs to.
    pub failing_since: Option<Timestamp>,
    /// How many runs of the workflow failed since its last good one; 0: a later one was good, or this is a backfill's.
    /// Backfills do not count.
    pub failures_in_row: u32,
}

/// A dispatched task run that does not execute, or a run that waits for a slot.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingLine {
    /// The run.
    pub run_id: RunId,
    /// Name of its workflow.
    pub workflow: String,
    /// The task run; `None`: the run itself is queued.
    pub key: Option<TaskKey>,
    /// As shown; `None` for a queued run.
    pub state: Option<TaskRunState>,
    /// Since when it waits.
    pub since: Timestamp,
    /// Until when, if that is known.
    pub due_at: Option<Timestamp>,
    /// Where it is claimed from.
    pub queue: String,
    /// Its fence.
    pub dispatch_no: u32,
}

/// What happened, what runs, what waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Home {
    /// Numbers.
    pub counts: HomeCounts,
    /// Newest first.
    pub incidents: Vec<Incident>,
    /// Runs under way, newest first.
    pub running: Vec<RunLine>,
    /// Oldest first.
    pub waiting: Vec<WaitingLine>,
}
