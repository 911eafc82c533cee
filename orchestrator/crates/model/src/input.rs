//! What can be asked of a run, and why the answer may be no.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{TaskId, TaskKey, WorkerNo};
use crate::state::{Cause, RunState};
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
    /// `work` and the run disagree about what is dispatched.
    #[error("`{0}` is dispatched in the run or in `work`, but not in both")]
    Inconsistent(TaskKey),
}
