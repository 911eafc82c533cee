//! The events of a run. One `run_log` row per run and commit holds a list of them; replaying a run's events
//! reproduces its rows. A kind's meaning is frozen at its first release; unknown kinds and fields are an error.
//!
//! Kinds of later versions (`task_blocked`, `task_deferred`, `task_answered`, `run_deadline_missed`)
//! are added when something writes them.

use serde::{Deserialize, Serialize};

use crate::id::{MapIndex, TaskId, TaskKey, VersionId, WorkerNo, WorkflowId};
use crate::state::{Cause, DispatchWhy, FinalState, Outcome, RunState, Trigger};
use crate::time::{DataInterval, Timestamp};

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's `skip_serializing_if` asks for this shape")]
fn is_unmapped(index: &MapIndex) -> bool {
    *index == MapIndex::NONE
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's `skip_serializing_if` asks for this shape")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// Names the task run that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The task.
    #[serde(rename = "t")]
    pub task: TaskId,
    /// Its mapped instance; left out where it is not mapped.
    #[serde(rename = "i", default, skip_serializing_if = "is_unmapped")]
    pub map_index: MapIndex,
}

impl From<&TaskKey> for Subject {
    fn from(key: &TaskKey) -> Self {
        Self { task: key.task.clone(), map_index: key.map_index }
    }
}

impl Subject {
    /// As a key.
    pub fn key(&self) -> TaskKey {
        TaskKey { task: self.task.clone(), map_index: self.map_index }
    }
}

/// A task run that begins anew with a re-opened run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anew {
    /// The task.
    #[serde(rename = "t")]
    pub task: TaskId,
    /// Its mapped instance; left out where it is not mapped.
    #[serde(rename = "i", default, skip_serializing_if = "is_unmapped")]
    pub map_index: MapIndex,
    /// Its new generation.
    #[serde(rename = "gen")]
    pub generation: u32,
}

impl Anew {
    /// As a key.
    pub fn key(&self) -> TaskKey {
        TaskKey { task: self.task.clone(), map_index: self.map_index }
    }
}

/// Something that happened to a run, with every fact that its rows need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "k", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The run exists.
    RunCreated {
        /// Its workflow.
        workflow: WorkflowId,
        /// The pinned version.
        version_id: VersionId,
        /// Unique in the workflow: the UTC fire instant of a scheduled run, the run's id of a manual one.
        run_key: String,
        /// Why it exists.
        trigger: Trigger,
        /// The data it is for.
        interval: DataInterval,
        /// Its logical date.
        logical_at: Timestamp,
        /// Backfills have less.
        priority: i32,
        /// Who asked for it.
        by: String,
        /// sha-256 of the canonical params, hex.
        conf_sha256: String,
        /// The chosen tasks (`--task` with all upstreams); left out = all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<Vec<TaskId>>,
    },
    /// It took a run slot.
    RunStarted {},
    /// Somebody wants it stopped.
    RunCancelRequested {
        /// Who.
        by: String,
        /// Why (≤ 500 characters).
        reason: String,
    },
    /// A limit was passed (`run_timeout`, `event_limit`): its attempts are being stopped, and it will end as failed.
    RunAborted {
        /// Which limit.
        cause: Cause,
    },
    /// It was over and goes on: these task runs begin anew, on this version from now on.
    RunReopened {
        /// How often it was re-opened, this time included.
        generation: u32,
        /// The version that it is pinned to from now on.
        version_id: VersionId,
        /// Task runs that begin anew; all others stay as they ended.
        tasks: Vec<Anew>,
        /// Who.
        by: String,
        /// Why (≤ 500 characters).
        reason: String,
        /// Where its tasks are claimed from, from now on; left out = as before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        queue: Option<String>,
        /// It is queued until a run slot of its workflow is free; left out = it took one and runs.
        #[serde(default, skip_serializing_if = "is_false")]
        waits: bool,
    },
    /// It is over. After `task_set` in a run that is over: its outcome is another one now.
    RunFinished {
        /// `succeeded`, `failed` or `cancelled`.
        outcome: RunState,
        /// Why.
        cause: Cause,
    },
    /// This build cannot take it further.
    RunBroken {
        /// A stable code.
        code: String,
        /// What was found.
        detail: String,
    },
    /// It may go on.
    RunRepaired {
        /// Who.
        by: String,
    },
    /// A task runs as so many instances, numbered from 0: each is dispatched and ends under its own number, and the task
    /// ends with the last of them. An instance has no row until it is dispatched.
    TaskExpanded {
        /// The task.
        #[serde(rename = "t")]
        task: TaskId,
        /// How many instances.
        n: u32,
        /// Generation of the task run that they are of.
        #[serde(rename = "gen")]
        generation: u32,
    },
    /// A task run got a row in `work` under a new fence.
    TaskDispatched {
        /// Which.
        #[serde(flatten)]
        subject: Subject,
        /// The new fence.
        #[serde(rename = "d")]
        dispatch_no: u32,
        /// The try it is, from 1.
        #[serde(rename = "try")]
        try_no: u32,
        /// Generation of the task run, from 0.
        #[serde(rename = "gen")]
        generation: u32,
        /// Attempts lost so far.
        losses: u32,
        /// Why.
        why: DispatchWhy,
        /// Not before this instant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due: Option<Timestamp>,
    },
    /// An attempt is over.
    AttemptEnded {
        /// Of which task run.
        #[serde(flatten)]
        subject: Subject,
        /// Under this fence.
        #[serde(rename = "d")]
        dispatch_no: u32,
        /// How.
        outcome: Outcome,
        /// Why.
        cause: Cause,
        /// Error class.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<String>,
        /// ≤ 500 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// When its body began; left out if it never did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        started_at: Option<Timestamp>,
        /// By which worker.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker: Option<WorkerNo>,
        /// Size of its output.
        bytes: u32,
    },
    /// A task run is over.
    TaskFinished {
        /// Which.
        #[serde(flatten)]
        subject: Subject,
        /// The attempt that decided it; left out if none did.
        #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
        dispatch_no: Option<u32>,
        /// How.
        state: FinalState,
        /// Why.
        cause: Cause,
    },
    /// A task run of a live run begins anew: its result no longer counts.
    TaskCleared {
        /// Which.
        #[serde(flatten)]
        subject: Subject,
        /// Its new generation.
        #[serde(rename = "gen")]
        generation: u32,
        /// Who.
        by: String,
    },
    /// An operator said how a task run ended.
    TaskSet {
        /// Which.
        #[serde(flatten)]
        subject: Subject,
        /// `succeeded` or `failed`.
        state: FinalState,
        /// Who.
        by: String,
        /// Why (≤ 500 characters).
        reason: String,
    },
}

impl Event {
    /// Its kind, as written.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunCreated { .. } => "run_created",
            Self::RunStarted {} => "run_started",
            Self::RunCancelRequested { .. } => "run_cancel_requested",
            Self::RunAborted { .. } => "run_aborted",
            Self::RunReopened { .. } => "run_reopened",
            Self::RunFinished { .. } => "run_finished",
            Self::RunBroken { .. } => "run_broken",
            Self::RunRepaired { .. } => "run_repaired",
            Self::TaskExpanded { .. } => "task_expanded",
            Self::TaskDispatched { .. } => "task_dispatched",
            Self::AttemptEnded { .. } => "attempt_ended",
            Self::TaskFinished { .. } => "task_finished",
            Self::TaskCleared { .. } => "task_cleared",
            Self::TaskSet { .. } => "task_set",
        }
    }

    /// The task run it is about; `None` for the run itself.
    pub fn subject(&self) -> Option<&Subject> {
        match self {
            Self::TaskDispatched { subject, .. }
            | Self::AttemptEnded { subject, .. }
            | Self::TaskFinished { subject, .. }
            | Self::TaskCleared { subject, .. }
            | Self::TaskSet { subject, .. } => Some(subject),
            Self::RunCreated { .. }
            | Self::RunStarted {}
            | Self::RunCancelRequested { .. }
            | Self::RunAborted { .. }
            | Self::RunReopened { .. }
            | Self::RunFinished { .. }
            | Self::RunBroken { .. }
            | Self::RunRepaired { .. }
            | Self::TaskExpanded { .. } => None,
        }
    }
}
