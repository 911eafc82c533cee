//! What can be asked of a run, and why the answer may be no.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::graph::Compiled;
use crate::id::{TaskId, TaskKey, VersionId, WorkerNo};
use crate::record::WorkRow;
use crate::state::{Cause, FinalState, Place, RunState};
use crate::time::Timestamp;

/// What an error says about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Retryable {
    /// Never, whatever the policy allows.
    Never,
    /// If the policy allows it, and not before this span has passed.
    After(Duration),
}

impl Retryable {
    /// If the policy allows it, when the policy says.
    pub const YES: Self = Self::After(Duration::ZERO);
}

/// How an attempt came back. Serialized where a result waits on disk for a store that is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptResult {
    /// It did what it should.
    Succeeded {
        /// Size of its output.
        bytes: u32,
    },
    /// It had nothing to do.
    Skipped {
        /// Why.
        reason: String,
    },
    /// Its `when` was false, so that its body never began.
    Unwanted {
        /// The condition, and what it read.
        reason: String,
    },
    /// It ended with an error.
    Failed {
        /// Class of the error, as `retry_on` names it.
        class: String,
        /// What went wrong.
        message: String,
        /// Whether another try may help.
        retryable: Retryable,
    },
    /// It passed its `timeout`. Class `Timeout`, retryable.
    TimedOut {
        /// What was cut off.
        message: String,
    },
    /// Its code panicked. Class `Panic`, retryable.
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// No result will come. Never counts as a try.
    Lost {
        /// `worker_died`, `worker_suspect`, `orphaned` or `drained`.
        cause: Cause,
        /// In words: which worker, since when. May be empty.
        message: String,
    },
    /// It was stopped by a cancel.
    Cancelled,
    /// The engine or the store refused its parameters or its result. Never retried.
    Rejected {
        /// `bad_parameters`, `bad_output` or `store_rejected`.
        cause: Cause,
        /// Class of the error.
        class: String,
        /// What was refused and why.
        message: String,
    },
}

/// Error class of an attempt that passed its `timeout`.
pub const CLASS_TIMEOUT: &str = "Timeout";
/// Error class of an attempt whose code panicked.
pub const CLASS_PANIC: &str = "Panic";
/// Error class under which a skip's reason is shown.
pub const CLASS_SKIPPED: &str = "skipped";

/// What a lane found when it stopped a run: which dispatched task runs lost their `work` row, and which execute.
/// Together these are all dispatched task runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Halted {
    /// Their `work` rows are deleted in the same transaction.
    pub removed: Vec<TaskKey>,
    /// They execute and were told to stop.
    pub executing: Vec<TaskKey>,
}

/// Where a dispatched task run is, as a lane found it under the run's lock (or a preview without).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub key: TaskKey,
    /// Where.
    pub place: Place,
    /// Who executes it.
    pub worker: Option<WorkerNo>,
    /// Since when somebody executes it.
    pub claimed_at: Option<Timestamp>,
}

impl From<&WorkRow> for Standing {
    fn from(row: &WorkRow) -> Self {
        Self { key: row.dispatch.key.clone(), place: row.place, worker: row.worker_no, claimed_at: row.claimed_at }
    }
}

/// Which task runs a retry takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryWhat {
    /// Those that failed or were cancelled, and those that never ran because of it.
    Failed,
    /// Those that are named.
    Tasks,
    /// All of the run.
    All,
}

/// The version that a retry goes on with.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Its number.
    pub version_id: VersionId,
    /// What it says.
    pub compiled: Arc<Compiled>,
}

/// Begin task runs anew: in a live run those that are over, in a run that is over any, whereupon it is re-opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Which task runs.
    pub what: RetryWhat,
    /// The named ones, for [`RetryWhat::Tasks`].
    pub tasks: Vec<TaskKey>,
    /// Those downstream of the named ones too.
    pub downstream: bool,
    /// On this version; `None` = on the one that the run is pinned to.
    pub version: Option<Target>,
    /// Where a re-opened run is claimed from; `None` = as before.
    pub queue: Option<String>,
    /// Its workflow has no free run slot: a run that is over is re-opened as queued.
    pub waits: bool,
    /// Who asks.
    pub by: String,
    /// Why.
    pub reason: String,
    /// All its dispatched task runs.
    pub work: Vec<Standing>,
}

/// Say how task runs ended, whatever they did.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Which; `None` = in a live run all that are not over, in a run that is over all that did not end well.
    pub tasks: Option<Vec<TaskKey>>,
    /// `succeeded` or `failed`.
    pub state: FinalState,
    /// Who says so.
    pub by: String,
    /// Why.
    pub reason: String,
    /// All its dispatched task runs. Those that execute are told to stop; the rows of those that are marked go.
    pub work: Vec<Standing>,
}

/// Something that is asked of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Make it. Its facts are in [`crate::run::Run::unborn`].
    Create {
        /// Who asks.
        by: String,
        /// sha-256 of its canonical params, hex.
        conf_sha256: String,
        /// The chosen tasks; everything upstream of them comes along. `None` = all.
        only: Option<Vec<TaskId>>,
    },
    /// A task that has not begun runs as so many instances. What it is mapped over was evaluated by the caller.
    Expand {
        /// The task.
        task: TaskId,
        /// How many; none = it has nothing to do and is skipped.
        n: u32,
    },
    /// Give it a run slot and dispatch what can start.
    Start,
    /// An attempt came back.
    Finish {
        /// Of which task run.
        key: TaskKey,
        /// The fence that it holds.
        dispatch_no: u32,
        /// How.
        result: AttemptResult,
        /// When its body began, if it did.
        started_at: Option<Timestamp>,
        /// Who executed it.
        worker: Option<WorkerNo>,
    },
    /// Somebody wants it stopped.
    Cancel {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// What the lane found.
        halted: Halted,
    },
    /// It passed a limit: `run_timeout` or `event_limit`.
    Abort {
        /// Which.
        cause: Cause,
        /// What the lane found.
        halted: Halted,
    },
    /// Begin task runs anew.
    Retry(Box<Retry>),
    /// Say how task runs ended.
    Mark(Box<Mark>),
    /// Judge every waiting task anew and fill free places: after a resume, when limits differ from before.
    Refresh,
    /// This build cannot take it further.
    Break {
        /// A stable code.
        code: String,
        /// What was found.
        detail: String,
    },
    /// It may go on.
    Repair {
        /// Who says so.
        by: String,
    },
}

/// Why an input changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// The run does not exist yet.
    #[error("the run does not exist yet")]
    NotCreated,
    /// The run exists already.
    #[error("the run exists already")]
    Exists,
    /// The run is over.
    #[error("the run is over ({0})")]
    RunOver(RunState),
    /// The run waits for a run slot, so no attempt of it can exist.
    #[error("the run has not started")]
    NotStarted,
    /// The run has started already.
    #[error("the run has started already")]
    Started,
    /// The run is being stopped already.
    #[error("the run is being stopped already")]
    Stopping,
    /// The run is set aside.
    #[error("the run is broken: repair it first (`updraft runs repair`)")]
    Broken,
    /// The run is not set aside.
    #[error("the run is not broken")]
    NotBroken,
    /// The workflow version has no such task.
    #[error("the workflow has no task `{0}`")]
    UnknownTask(TaskId),
    /// The task was not chosen for this run.
    #[error("task `{0}` is not part of this run")]
    NotChosen(TaskId),
    /// The task is not mapped.
    #[error("`{0}` names an instance of a task that is not mapped")]
    NotMapped(TaskKey),
    /// The task has begun, is over, or is mapped already.
    #[error("task `{0}` cannot be mapped: it has begun, or is mapped already")]
    Begun(TaskId),
    /// The task has no such instance.
    #[error("`{0}` is not one of the {1} instances of its task")]
    NoInstance(TaskKey, u32),
    /// An operator marks a mapped task as a whole.
    #[error("`{0}` is an instance of a mapped task: mark the task as a whole, or run the instance again")]
    MarkInstance(TaskKey),
    /// Its instances belong to the version that it is on.
    #[error("the run has mapped tasks, whose instances are those of its version: run it again on that one")]
    MappedVersion,
    /// The attempt is not the one that the run waits for: its result is dropped.
    #[error("attempt {dispatch_no} of `{key}` is not the current one ({current})")]
    Fenced {
        /// Of which task run.
        key: TaskKey,
        /// The fence it holds.
        dispatch_no: u32,
        /// What is there instead.
        current: String,
    },
    /// A cause that this input cannot have.
    #[error("`{0}` cannot be the cause of this")]
    BadCause(Cause),
    /// None of the task runs that were asked for would do anything.
    #[error("there is nothing to run again: {0}")]
    NothingToRetry(&'static str),
    /// It executes: only what is over can begin anew.
    #[error("`{0}` is running: wait until it has ended, or cancel the run first")]
    Executing(TaskKey),
    /// Its upstreams keep it from starting, and they were not chosen.
    #[error(
        "`{task}` could not start, since `{upstream}` ended as {state}: take that one too, or everything that failed"
    )]
    Blocked {
        /// What was asked for.
        task: TaskKey,
        /// What stands in its way.
        upstream: TaskId,
        /// How that ended.
        state: FinalState,
    },
    /// A live run stays on its version.
    #[error("the run is not over, and a live run stays on its version: wait until it has ended, or cancel it first")]
    LiveVersion,
    /// The run has used up its events.
    #[error("the run has {0} events, as many as a run may have: start a new one")]
    EventLimit(u64),
    /// Every task run that was named has this state already, or none was found.
    #[error("there is nothing to mark as {0}: no task run would change")]
    NothingToMark(FinalState),
    /// Operators say `succeeded` or `failed`, nothing else.
    #[error("a task run cannot be marked as {0}: say `succeeded` or `failed`")]
    BadMark(FinalState),
    /// `work` and the run disagree about what is dispatched.
    #[error("`{0}` is dispatched in the run or in `work`, but not in both")]
    Inconsistent(TaskKey),
}

impl Input {
    /// The version that it brings along.
    pub(crate) fn target(&self) -> Option<&Target> {
        match self {
            Self::Retry(retry) => retry.version.as_ref(),
            Self::Create { .. }
            | Self::Start
            | Self::Expand { .. }
            | Self::Finish { .. }
            | Self::Cancel { .. }
            | Self::Abort { .. }
            | Self::Mark(_)
            | Self::Refresh
            | Self::Break { .. }
            | Self::Repair { .. } => None,
        }
    }
}
