//! The model's closed lists as the contract spells them. They are spelled alike; these copies exist so that the model
//! knows nothing of `OpenAPI`.

use serde::{Deserialize, Serialize};
use updraft_model::state;
use utoipa::ToSchema;

macro_rules! mirror {
    ($(#[$doc:meta])* $name:ident of $model:path { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        // For the schema: utoipa does not see a `rename` whose text comes through the macro.
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
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

        impl From<$model> for $name {
            fn from(of: $model) -> Self {
                use $model as Model;
                match of { $(Model::$variant => Self::$variant),+ }
            }
        }

        impl From<$name> for $model {
            fn from(of: $name) -> Self {
                match of { $($name::$variant => Self::$variant),+ }
            }
        }
    };
}

mirror! {
    /// Where a run is.
    RunState of state::RunState {
        /// Made, waiting for a free run slot.
        Queued = "queued",
        /// Under way.
        Running = "running",
        /// Ended well.
        Succeeded = "succeeded",
        /// Ended with a task that counts as failed, or by a limit.
        Failed = "failed",
        /// A cancel was asked for; attempts are being stopped.
        Cancelling = "cancelling",
        /// Ended by a cancel.
        Cancelled = "cancelled",
        /// Set aside: this build cannot take it further.
        Broken = "broken",
    }
}

mirror! {
    /// A task run as shown.
    TaskState of state::TaskRunState {
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

mirror! {
    /// How an attempt ended.
    Outcome of state::Outcome {
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

mirror! {
    /// Why a run exists.
    Trigger of state::Trigger {
        /// A schedule fired.
        Schedule = "schedule",
        /// A person at a terminal or in the browser.
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

/// Why something ended: the name of one of the model's causes (`task`, `timeout`, `worker_died`, …). More may come, so a
/// client reads it as text and shows the words beside it.
pub type Cause = String;

/// What a repeated execution of a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effects {
    /// A repeated execution changes nothing more.
    ExactlyOnce,
    /// A repeated execution leads to the same state.
    Idempotent,
    /// A repeated execution may act twice.
    AtLeastOnce,
}

mirror! {
    /// What a person or token may do; each role may do what the ones before it may.
    Role of updraft_model::access::Role {
        /// Reads.
        Viewer = "viewer",
        /// Triggers, cancels, retries, marks, pauses.
        Operator = "operator",
        /// Also connections.
        Editor = "editor",
        /// Also users, tokens of others and the audit log.
        Admin = "admin",
    }
}
