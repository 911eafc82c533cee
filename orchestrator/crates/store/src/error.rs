//! What can go wrong between the engine and a store.

use updraft_model::id::RunId;

/// Why a store operation failed. Missing rows are `Ok(None)`, lost races are values of their own.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, or the connection broke before the statement was sent. Nothing happened.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// The connection broke after a commit was sent: ask [`crate::Store::outcome`].
    #[error("the connection broke while a commit was under way: {0}")]
    UnknownOutcome(String),
    /// A passing conflict (serialization, lock time-out): the same call may be made again.
    #[error("a passing conflict in the store: {0}")]
    Conflict(String),
    /// The database refuses the data itself (constraint, encoding, size). Repeating does not help.
    #[error("the store refused the data: {0}")]
    Rejected(String),
    /// The disk is full, or a quota is used up: pause and say so.
    #[error("the store is out of space: {0}")]
    Full(String),
    /// Somebody else holds what is needed (the SQLite file, a run).
    #[error("{what} is held by {holder}")]
    Held {
        /// What is held.
        what: String,
        /// By whom, as well as is known (`process 4711`).
        holder: String,
    },
    /// The database holds what the model forbids.
    #[error("the store holds what the model forbids in {table}.{column} of {id}: {detail}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// Key of the row.
        id: String,
        /// What was found.
        detail: String,
    },
    /// The schema is older or newer than this build.
    #[error("{0}")]
    Schema(String),
    /// Writes are not possible through this handle.
    #[error("this handle on the store is read-only: {0}")]
    ReadOnly(String),
    /// No such run.
    #[error("no run {0} in this store")]
    NoRun(RunId),
    /// A bug, or something that no rule foresees.
    #[error("the store failed: {0}")]
    Other(String),
}

impl StoreError {
    /// The same call may succeed later without a change of its input.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::UnknownOutcome(_) | Self::Conflict(_) | Self::Full(_) => true,
            Self::Rejected(_)
            | Self::Held { .. }
            | Self::Inconsistent { .. }
            | Self::Schema(_)
            | Self::ReadOnly(_)
            | Self::NoRun(_)
            | Self::Other(_) => false,
        }
    }
}
