//! Airflow's twelve trigger rules: names here, judgement in `decide`.

use serde::{Deserialize, Serialize};

/// When a task may start, given its direct upstreams. "Failed" includes `upstream_failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerRule {
    /// All succeeded.
    #[default]
    AllSuccess,
    /// All failed.
    AllFailed,
    /// All ended.
    AllDone,
    /// All ended and one or more succeeded.
    AllDoneMinOneSuccess,
    /// All skipped.
    AllSkipped,
    /// One failed; the others are not waited for.
    OneFailed,
    /// One succeeded; the others are not waited for.
    OneSuccess,
    /// One succeeded or failed; the others are not waited for.
    OneDone,
    /// All ended and none failed.
    NoneFailed,
    /// All ended, none failed, one or more succeeded.
    NoneFailedMinOneSuccess,
    /// All ended and none skipped.
    NoneSkipped,
    /// At once.
    Always,
}

impl TriggerRule {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 12] = [
        Self::AllSuccess,
        Self::AllFailed,
        Self::AllDone,
        Self::AllDoneMinOneSuccess,
        Self::AllSkipped,
        Self::OneFailed,
        Self::OneSuccess,
        Self::OneDone,
        Self::NoneFailed,
        Self::NoneFailedMinOneSuccess,
        Self::NoneSkipped,
        Self::Always,
    ];

    /// The name, as written in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllSuccess => "all_success",
            Self::AllFailed => "all_failed",
            Self::AllDone => "all_done",
            Self::AllDoneMinOneSuccess => "all_done_min_one_success",
            Self::AllSkipped => "all_skipped",
            Self::OneFailed => "one_failed",
            Self::OneSuccess => "one_success",
            Self::OneDone => "one_done",
            Self::NoneFailed => "none_failed",
            Self::NoneFailedMinOneSuccess => "none_failed_min_one_success",
            Self::NoneSkipped => "none_skipped",
            Self::Always => "always",
        }
    }
}
