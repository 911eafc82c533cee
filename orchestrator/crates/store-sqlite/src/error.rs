//! SQLite's and sqlx's errors in the words of the store.

use updraft_store::StoreError;

/// Primary result codes (sqlite.org/rescode.html) that are told apart.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const INTERRUPT: i32 = 9;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const TOOBIG: i32 = 18;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const MISMATCH: i32 = 20;
    pub(super) const NOTADB: i32 = 26;
    /// `RAISE(ABORT, …)` in a trigger, extended.
    pub(super) const CONSTRAINT_TRIGGER: i32 = 1811;
}

/// SQLite's extended result code, if the error is SQLite's.
fn extended_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// The batch's trigger refused it: a run, a fence or the worker is not as expected.
pub(crate) fn is_refusal(error: &sqlx::Error) -> bool {
    extended_code(error) == Some(code::CONSTRAINT_TRIGGER)
}

/// A failed read, or a write that surely did not happen.
pub(crate) fn plain(error: &sqlx::Error) -> StoreError {
    let text = error.to_string();
    match extended_code(error).map(|code| code & 0xff) {
        Some(code::CONSTRAINT | code::TOOBIG | code::MISMATCH) => StoreError::Rejected(text),
        Some(code::BUSY | code::LOCKED) => StoreError::Conflict(text),
        Some(code::INTERRUPT) => StoreError::Conflict(format!("a read took longer than its limit and was cut: {text}")),
        Some(code::FULL) => StoreError::Full(text),
        Some(code::READONLY) => StoreError::ReadOnly(text),
        Some(code::CANTOPEN | code::IOERR) => StoreError::Unavailable(text),
        Some(code::CORRUPT | code::NOTADB) => {
            StoreError::Other(format!("the file is damaged or not a database of Updraft: {text}"))
        }
        Some(_) => StoreError::Other(text),
        None => match error {
            sqlx::Error::Io(_) => StoreError::Unavailable(text),
            sqlx::Error::WorkerCrashed => StoreError::Unavailable("the connection's thread ended".to_owned()),
            other => StoreError::Other(other.to_string()),
        },
    }
}

/// A write that failed somewhere between its first statement and its commit.
pub(crate) fn of_write(error: &sqlx::Error) -> StoreError {
    match plain(error) {
        StoreError::Unavailable(text) => StoreError::UnknownOutcome(text),
        other => other,
    }
}
