//! Logs of attempts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Time;

/// Weight of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// For who looks for a fault.
    Debug,
    /// What happens.
    Info,
    /// Something that may matter.
    Warn,
    /// Something that went wrong.
    Error,
}

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// The task itself.
    Task,
    /// Standard output of a child.
    Stdout,
    /// Standard error of a child.
    Stderr,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// When; left out for a line that is not in the form of this log.
    pub at: Option<Time>,
    /// Its weight.
    pub level: LogLevel,
    /// Where it comes from.
    pub stream: LogStream,
    /// Its number, from 1; left out where counting would mean reading all before it.
    pub line: Option<u64>,
    /// Byte at which it begins.
    pub offset: u64,
    /// What it says.
    pub text: String,
}

/// Where the first error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FirstError {
    /// Line, from 1.
    pub line: u64,
    /// Byte at which it begins.
    pub offset: u64,
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    /// Bytes of the whole log so far.
    pub bytes: u64,
    /// Lines of the whole log so far.
    pub lines: Option<u64>,
    /// Nothing more will come.
    pub complete: bool,
    /// Where the first error is.
    pub first_error: Option<FirstError>,
    /// The lines of this part.
    pub items: Vec<LogLine>,
    /// Byte at which the next part begins; `bytes` at the end of what there is.
    pub next: u64,
}
