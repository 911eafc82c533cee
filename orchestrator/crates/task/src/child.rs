//! Child processes as a task describes them. How they are started and stopped is the host's matter.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// A child process to run.
#[derive(Debug, Clone)]
pub struct ChildSpec {
    /// Program and arguments. Secrets do not belong here: give them by `env`.
    pub argv: Vec<OsString>,
    /// Variables over the attempt's own.
    pub env: BTreeMap<String, String>,
    /// Working folder; the project's if none.
    pub cwd: Option<PathBuf>,
    /// Bytes for its standard input.
    pub stdin: Option<Vec<u8>>,
    /// What it is asked to stop with.
    pub stop: StopSignal,
    /// How long it may take to stop before it is killed as a tree.
    pub grace: Duration,
}

impl ChildSpec {
    /// A child with defaults: TERM, 10 s of grace.
    pub fn new(argv: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            cwd: None,
            stdin: None,
            stop: StopSignal::Term,
            grace: Duration::from_secs(10),
        }
    }
}

/// First signal to a child that shall stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM.
    Term,
    /// SIGINT: dbt cancels its queries on it.
    Int,
}

/// Which of its outputs a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildExit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// Receives a child's lines as they come.
pub type Lines<'a> = dyn FnMut(Output, &str) + Send + 'a;
