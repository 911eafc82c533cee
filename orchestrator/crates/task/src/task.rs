//! The trait that every task type implements.

use std::future::Future;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Context, TaskError};

/// What a second execution of the same task run does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effects {
    /// The sink refuses or replaces what was there, keyed by the idempotency key.
    ExactlyOnce,
    /// Doing it twice leaves the same state as doing it once.
    Idempotent,
    /// A second execution shows (a second message, a second request).
    AtLeastOnce,
}

impl Effects {
    /// The name, as shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExactlyOnce => "exactly_once",
            Self::Idempotent => "idempotent",
            Self::AtLeastOnce => "at_least_once",
        }
    }
}

/// Whether a task has a `conn:` and of which kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionNeed {
    /// It has none.
    None,
    /// It may name one of these kinds.
    Optional(&'static [&'static str]),
    /// It must name one of these kinds. Left out in a file, the connection called like the first kind is taken.
    Required(&'static [&'static str]),
}

/// An error class that a task can end with; `retry_on` may name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorClass {
    /// Name, as written in `retry_on`.
    pub name: &'static str,
    /// Whether the task asks for another try.
    pub retryable: bool,
    /// When it happens.
    pub meaning: &'static str,
}

/// A task type: typed parameters in, typed output out, everything else through the [`Context`].
pub trait Task: Send + Sync + 'static {
    /// Name in workflow files: `area.verb`.
    const TYPE: &'static str;
    /// One line for lists.
    const SUMMARY: &'static str;
    /// What a second execution does.
    const EFFECTS: Effects;
    /// Its connection.
    const CONNECTION: ConnectionNeed = ConnectionNeed::None;
    /// Whether it runs programs that the workflow names. Where others can reach the server, such tasks run on listed queues
    /// alone.
    const RUNS_COMMANDS: bool = false;
    /// The error classes it can end with.
    const ERRORS: &'static [ErrorClass];
    /// A task entry as it stands in a workflow file, checked by a test.
    const EXAMPLE: &'static str;

    /// Parameters: documented fields with units, `deny_unknown_fields`.
    type Params: DeserializeOwned + JsonSchema + Send;
    /// Output: documented fields with units; at most 48 KiB as JSON.
    type Output: Serialize + JsonSchema + Send;

    /// Does the work. Long bodies watch [`Context::cancelled`].
    fn run(params: Self::Params, ctx: &Context) -> impl Future<Output = Result<Self::Output, TaskError>> + Send;
}
