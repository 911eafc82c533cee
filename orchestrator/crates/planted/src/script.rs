//! What the attempts of a planted run do.

use std::sync::Arc;

use updraft_model::id::TaskKey;
use updraft_model::record::{RunMetric, TaskItem};

/// How an attempt ends.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// Well, with this output (JSON).
    Good(Option<String>),
    /// With an error: class, message. Retried if tries are left.
    Bad(String, String),
    /// It has nothing to do.
    Skip(String),
    /// Its worker dies after its body began.
    Lost,
    /// Its worker dies before its body begins.
    NeverStarted,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// From ready to taken by a worker.
    pub wait_ms: i64,
    /// From its body's start to its end.
    pub run_ms: i64,
    /// How it ends.
    pub end: End,
    /// Parts that it records.
    pub items: Vec<TaskItem>,
    /// Measures that it records.
    pub metrics: Vec<RunMetric>,
}

impl Act {
    /// A good end after so long.
    pub fn good(run_ms: i64) -> Self {
        Self { wait_ms: 40, run_ms, end: End::Good(None), items: Vec::new(), metrics: Vec::new() }
    }

    /// A bad one.
    pub fn bad(run_ms: i64, class: &str, message: &str) -> Self {
        Self { end: End::Bad(class.to_owned(), message.to_owned()), ..Self::good(run_ms) }
    }

    /// After waiting so long for a worker.
    #[must_use]
    pub fn after(self, wait_ms: i64) -> Self {
        Self { wait_ms, ..self }
    }

    /// With this output.
    #[must_use]
    pub fn output(self, json: &str) -> Self {
        Self { end: End::Good(Some(json.to_owned())), ..self }
    }
}

/// Says what the attempt of a task run under a `dispatch_no` does.
pub type Script = Arc<dyn Fn(&TaskKey, u32) -> Act + Send + Sync>;
