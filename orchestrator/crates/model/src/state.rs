//! The states and closed lists that Rust, SQL, JSON and UI spell alike.

use serde::{Deserialize, Serialize};

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The one spelling.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Reads the one spelling.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

names! {
    /// Where a run is.
    RunState {
        /// Made, waiting for a free run slot.
        Queued = "queued",
        /// Under way.
        Running = "running",
        /// A cancel was asked for; attempts are being stopped.
        Cancelling = "cancelling",
        /// Ended well.
        Succeeded = "succeeded",
        /// Ended with a task that counts as failed, or by a limit.
        Failed = "failed",
        /// Ended by a cancel.
        Cancelled = "cancelled",
        /// Set aside: this build cannot take it further (`runs repair`).
        Broken = "broken",
    }
}

impl RunState {
    /// No further task run will start in this generation.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
            Self::Queued | Self::Running | Self::Cancelling | Self::Broken => false,
        }
    }
}

names! {
    /// How a task run ended.
    FinalState {
        /// Its last attempt succeeded.
        Succeeded = "succeeded",
        /// Its last attempt failed and no try was left.
        Failed = "failed",
        /// It had nothing to do, or its upstreams were skipped.
        Skipped = "skipped",
        /// Never started: an upstream failed.
        UpstreamFailed = "upstream_failed",
        /// Stopped by a cancel.
        Cancelled = "cancelled",
        /// No longer in the graph of the run's version.
        Removed = "removed",
    }
}

names! {
    /// A task run as shown: derived from `task_run` and `work`, see [`crate::record::shown_state`].
    TaskRunState {
        /// Not dispatched: upstreams are open, or a limit inside the run is reached.
        Waiting = "waiting",
        /// Dispatched, waiting for a worker.
        Ready = "ready",
        /// Executing.
        Running = "running",
        /// Waiting for the next try.
        RetryWait = "retry_wait",
        /// Waiting for an instant, a poll or a person; holds no slot.
        Deferred = "deferred",
        /// See [`FinalState::Succeeded`].
        Succeeded = "succeeded",
        /// See [`FinalState::Failed`].
        Failed = "failed",
        /// See [`FinalState::Skipped`].
        Skipped = "skipped",
        /// See [`FinalState::UpstreamFailed`].
        UpstreamFailed = "upstream_failed",
        /// See [`FinalState::Cancelled`].
        Cancelled = "cancelled",
        /// See [`FinalState::Removed`].
        Removed = "removed",
    }
}

impl From<FinalState> for TaskRunState {
    fn from(state: FinalState) -> Self {
        match state {
            FinalState::Succeeded => Self::Succeeded,
            FinalState::Failed => Self::Failed,
            FinalState::Skipped => Self::Skipped,
            FinalState::UpstreamFailed => Self::UpstreamFailed,
            FinalState::Cancelled => Self::Cancelled,
            FinalState::Removed => Self::Removed,
        }
    }
}

names! {
    /// How an attempt ended.
    Outcome {
        /// Its result was accepted.
        Succeeded = "succeeded",
        /// It had nothing to do.
        Skipped = "skipped",
        /// It gave its slot back and waits.
        Deferred = "deferred",
        /// It ended with an error, or panicked.
        Failed = "failed",
        /// It passed its time limit.
        TimedOut = "timed_out",
        /// Its worker died or lost it; no result.
        Lost = "lost",
        /// It was stopped by a cancel.
        Cancelled = "cancelled",
    }
}

names! {
    /// Why something ended: the closed list behind every final state.
    Cause {
        /// The body said so (succeeded, failed, skipped).
        Task = "task",
        /// The task code panicked.
        Panic = "panic",
        /// The attempt passed its `timeout`.
        Timeout = "timeout",
        /// The attempt's worker died.
        WorkerDied = "worker_died",
        /// The attempt's worker stopped answering and may still run; a second execution is harmless, so it was not waited for.
        WorkerSuspect = "worker_suspect",
        /// A worker could not account for the attempt.
        Orphaned = "orphaned",
        /// A second stop signal, or the end of the drain time.
        Drained = "drained",
        /// Losses used up their budget.
        LossBudget = "loss_budget",
        /// The trigger rule can no longer be satisfied: an upstream failed.
        UpstreamFailed = "upstream_failed",
        /// The trigger rule can no longer be satisfied: an upstream was skipped.
        UpstreamSkipped = "upstream_skipped",
        /// The trigger rule can no longer be satisfied by states that are neither failed nor skipped.
        TriggerRule = "trigger_rule",
        /// Its `when` was false when it would have started.
        When = "when",
        /// A cancel by a person or program.
        CancelRequested = "cancel_requested",
        /// The run passed its `timeout`.
        RunTimeout = "run_timeout",
        /// A task that counts as failed ended the run as failed.
        TaskFailed = "task_failed",
        /// Every task ended well or was skipped.
        Completed = "completed",
        /// Parameters could not be rendered, or do not fit the task type.
        BadParameters = "bad_parameters",
        /// The store refused the result.
        StoreRejected = "store_rejected",
        /// More than 100,000 events in one run.
        EventLimit = "event_limit",
        /// The output is larger than 48 KiB, or not what the task type promises.
        BadOutput = "bad_output",
        /// An operator said so.
        Marked = "marked",
        /// The run goes on with a newer version that does not have the task.
        VersionChanged = "version_changed",
    }
}

names! {
    /// Why a run exists.
    Trigger {
        /// A schedule fired.
        Schedule = "schedule",
        /// A person at a terminal.
        Manual = "manual",
        /// A backfill.
        Backfill = "backfill",
        /// An asset was updated.
        Asset = "asset",
        /// An event from outside.
        Event = "event",
        /// A program over the API.
        Api = "api",
    }
}

names! {
    /// Where a dispatched task run is: one row of `work`, changed without touching its run.
    Place {
        /// Ready to be claimed.
        Ready = "r",
        /// Executing by a worker.
        Executing = "x",
        /// Waiting for its instant (`due_at`).
        Timer = "t",
        /// Waiting for a polled condition.
        Polled = "p",
        /// Waiting for a gate (pool).
        Gated = "g",
        /// Waiting for a person or program outside.
        Waiting = "w",
    }
}

names! {
    /// Why a task run was dispatched.
    DispatchWhy {
        /// For the first time.
        First = "first",
        /// The try before failed.
        Retry = "retry",
        /// The attempt before was lost.
        Lost = "lost",
        /// A deferral ended.
        Resume = "resume",
        /// A person asked for it.
        Manual = "manual",
    }
}
