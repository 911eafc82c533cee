//! What a task says when it does not succeed.

use std::fmt;
use std::time::Duration;

use updraft_model::id::TaskKey;
use updraft_model::time::Timestamp;

/// What the engine shall do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Try again, not before `after` and not before the retry policy says; counts as a try.
    Retry {
        /// Least wait (a `Retry-After`).
        after: Option<Duration>,
    },
    /// Never try again.
    Fail,
    /// There is nothing to do: the task run ends as skipped.
    Skip,
    /// Give the slot back and go on later.
    Defer {
        /// Not before.
        until: Timestamp,
    },
}

/// An ending other than success: what to do, a class that `retry_on` can name, and a message with place, reason and remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskError {
    verdict: Verdict,
    class: &'static str,
    message: String,
}

impl TaskError {
    /// A passing fault: worth another try.
    pub fn retry(class: &'static str, message: impl Into<String>) -> Self {
        Self { verdict: Verdict::Retry { after: None }, class, message: message.into() }
    }

    /// A passing fault whose source says how long it lasts.
    pub fn retry_after(class: &'static str, after: Duration, message: impl Into<String>) -> Self {
        Self { verdict: Verdict::Retry { after: Some(after) }, class, message: message.into() }
    }

    /// A fault that another try would meet again.
    pub fn fail(class: &'static str, message: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, class, message: message.into() }
    }

    /// Nothing to do, and why.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skip, class: "skipped", message: reason.into() }
    }

    /// The attempt was told to stop.
    pub fn cancelled() -> Self {
        Self::fail("Cancelled", "stopped before it was done")
    }

    /// The attempt was given up: its result would not count, and neither does what it wants to keep.
    pub fn fenced(key: &TaskKey, dispatch_no: u32) -> Self {
        Self::fail(
            "Fenced",
            format!(
                "attempt {dispatch_no} of `{key}` was given up (cancelled, cleared, or its worker was taken for dead) and \
                 may keep nothing: stop here, a later attempt decides"
            ),
        )
    }

    /// What to do.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Its class.
    pub fn class(&self) -> &'static str {
        self.class
    }

    /// What happened.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same with words in front: `while …: message`.
    #[must_use]
    pub fn context(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}

impl std::error::Error for TaskError {}
