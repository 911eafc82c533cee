//! Closed lists in words, for people. The command line and the API say the same.

use crate::state::Cause;

impl Cause {
    /// Why something ended, where nobody said more: follows on "because".
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Task => "the task said so, without a reason",
            Self::Panic => "the task's code panicked",
            Self::Timeout => "it passed its time limit",
            Self::WorkerDied => "the process that ran it died",
            Self::WorkerSuspect => "its worker stopped answering, so it was started elsewhere",
            Self::Orphaned => "the process that ran it could not account for it",
            Self::Drained => "the process was stopped before it ended",
            Self::LossBudget => "it was lost too often",
            Self::UpstreamFailed => "an upstream task failed",
            Self::UpstreamSkipped => "an upstream task was skipped",
            Self::TriggerRule => "its trigger rule can no longer be met",
            Self::When => "its `when` was false",
            Self::CancelRequested => "somebody asked the run to stop",
            Self::RunTimeout => "the run passed its time limit",
            Self::TaskFailed => "a task of the run failed",
            Self::Completed => "everything ended well",
            Self::BadParameters => "its parameters do not fit",
            Self::StoreRejected => "the store refused its result",
            Self::EventLimit => "the run has more than 100,000 events",
            Self::BadOutput => "its output is too large, or not what its type promises",
            Self::Marked => "an operator said so",
            Self::VersionChanged => "the run went on with a version that does not have it",
        }
    }
}
