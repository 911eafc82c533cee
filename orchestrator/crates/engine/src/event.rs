//! What the engine tells while it works, for live progress. Losing one costs nothing: the store is the truth.

use updraft_model::event::Event;
use updraft_model::id::{RunId, TaskKey};
use updraft_model::state::{Cause, FinalState, Outcome, RunState};
use updraft_model::time::Timestamp;

/// Something that happened. Transitions are told after their commit, never before.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineEvent {
    /// A run took its slot, or goes on after its end.
    RunStarted {
        /// The run.
        run_id: RunId,
    },
    /// A task run was dispatched.
    TaskDispatched {
        /// The run.
        run_id: RunId,
        /// The task run.
        key: TaskKey,
        /// Its fence.
        dispatch_no: u32,
        /// Its try, from 1.
        try_no: u32,
    },
    /// A body is about to be polled for the first time.
    AttemptStarted {
        /// The run.
        run_id: RunId,
        /// The task run.
        key: TaskKey,
        /// Its fence.
        dispatch_no: u32,
        /// Its try, from 1.
        try_no: u32,
    },
    /// How far an attempt is.
    Progress {
        /// The run.
        run_id: RunId,
        /// The task run.
        key: TaskKey,
        /// Done so far.
        done: u64,
        /// Of so many, if that is known.
        total: Option<u64>,
        /// Of what.
        unit: String,
    },
    /// A part of an attempt's work has begun or ended; see [`crate::Engine::live_items`].
    ItemChanged {
        /// The run.
        run_id: RunId,
        /// The task run.
        key: TaskKey,
    },
    /// An attempt is over and its result accepted.
    AttemptEnded {
        /// The run.
        run_id: RunId,
        /// The task run.
        key: TaskKey,
        /// Its fence.
        dispatch_no: u32,
        /// How.
        outcome: Outcome,
        /// Why.
        cause: Cause,
        /// Error class.
        class: Option<String>,
        /// What it said.
        message: Option<String>,
    },
    /// Another try waits for its instant.
    RetryScheduled {
        /// The run.
        run_id: RunId,
        /// The task run.
        key: TaskKey,
        /// The try that waits.
        try_no: u32,
        /// Not before.
        due_at: Timestamp,
    },
    /// A task run is over.
    TaskFinished {
        /// The run.
        run_id: RunId,
        /// The task run.
        key: TaskKey,
        /// How.
        state: FinalState,
        /// Why.
        cause: Cause,
    },
    /// A run is over.
    RunFinished {
        /// The run.
        run_id: RunId,
        /// How.
        state: RunState,
        /// Why.
        cause: Cause,
    },
    /// Something that a person should know: an outage of the store, a dropped result, a full disk.
    Warning {
        /// The run, if it is about one.
        run_id: Option<RunId>,
        /// In words.
        message: String,
    },
}

impl EngineEvent {
    /// What is told about a committed event; `None` for those without a telling of their own.
    pub(crate) fn of(run_id: RunId, event: &Event) -> Option<Self> {
        match event {
            Event::RunStarted {} | Event::RunReopened { waits: false, .. } => Some(Self::RunStarted { run_id }),
            Event::TaskDispatched { subject, try_no, due: Some(due), .. } => {
                Some(Self::RetryScheduled { run_id, key: subject.key(), try_no: *try_no, due_at: *due })
            }
            Event::TaskDispatched { subject, dispatch_no, try_no, due: None, .. } => {
                Some(Self::TaskDispatched { run_id, key: subject.key(), dispatch_no: *dispatch_no, try_no: *try_no })
            }
            Event::AttemptEnded { subject, dispatch_no, outcome, cause, class, message, .. } => {
                Some(Self::AttemptEnded {
                    run_id,
                    key: subject.key(),
                    dispatch_no: *dispatch_no,
                    outcome: *outcome,
                    cause: *cause,
                    class: class.clone(),
                    message: message.clone(),
                })
            }
            Event::TaskFinished { subject, state, cause, .. } => {
                Some(Self::TaskFinished { run_id, key: subject.key(), state: *state, cause: *cause })
            }
            Event::TaskSet { subject, state, .. } => {
                Some(Self::TaskFinished { run_id, key: subject.key(), state: *state, cause: Cause::Marked })
            }
            Event::RunFinished { outcome, cause } => Some(Self::RunFinished { run_id, state: *outcome, cause: *cause }),
            Event::RunBroken { code, detail } => Some(Self::Warning {
                run_id: Some(run_id),
                message: format!("the run is set aside ({code}): {detail}"),
            }),
            Event::RunCreated { .. }
            | Event::RunReopened { waits: true, .. }
            | Event::RunCancelRequested { .. }
            | Event::RunAborted { .. }
            | Event::TaskExpanded { .. }
            | Event::TaskCleared { .. }
            | Event::RunRepaired { .. } => None,
        }
    }
}
