//! Schedules and their fires.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DataInterval, Time};

/// A fire to come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NextFire {
    /// The workflow.
    pub workflow: String,
    /// When.
    pub at: Time,
    /// From now.
    pub in_seconds: f64,
    /// Its schedule, as written.
    pub schedule: String,
}

/// Fires to come, of all workflows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NextFires {
    /// Earliest first.
    pub items: Vec<NextFire>,
}

/// What kind of schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// cron at fixed times of day.
    Fixed,
    /// cron at intervals.
    Interval,
    /// Every so long.
    Every,
    /// At listed instants.
    Dates,
    /// Once.
    Once,
    /// Whenever the last run is over.
    Continuous,
    /// By hand only.
    None,
}

/// What happens to civil times that a change of the clock skips or repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DstPolicy {
    /// A skipped one: `after` or `skip`.
    pub gap: String,
    /// A repeated one: `first`, `second` or `both`.
    pub overlap: String,
}

/// One fire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fire {
    /// When.
    pub at: Time,
    /// Civil time in the asked zone.
    pub local: String,
    /// Offset from UTC there.
    pub offset: String,
    /// Logical date of its run.
    pub logical_date: Time,
    /// The data of its run.
    pub interval: DataInterval,
    /// What is special about it.
    pub note: Option<String>,
}

/// Fires of one stretch that were skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SkippedSpan {
    /// First.
    pub from: Time,
    /// Last.
    pub until: Time,
    /// How many.
    pub count: u64,
    /// Why.
    pub reason: String,
    /// When that was decided.
    pub at: Time,
}

/// Fires that were skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SkippedFires {
    /// Ever.
    pub total: u64,
    /// The last ones.
    pub recent: Vec<SkippedSpan>,
}

/// A workflow's schedule and its next fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SchedulePreview {
    /// The workflow.
    pub workflow: String,
    /// As written.
    pub text: Option<String>,
    /// In words.
    pub words: Option<String>,
    /// IANA zone of the schedule.
    pub timezone: Option<String>,
    /// The zone database that counts.
    pub tzdb: String,
    /// What kind.
    pub kind: ScheduleKind,
    /// Changes of the clock.
    pub dst: DstPolicy,
    /// What is done about missed fires.
    pub catchup: String,
    /// It makes no runs now.
    pub paused: bool,
    /// No fire before.
    pub start_date: Option<Time>,
    /// No fire after.
    pub end_date: Option<Time>,
    /// The next fires.
    pub next: Vec<Fire>,
    /// Everything up to here has been decided.
    pub cursor: Option<Time>,
    /// What was skipped.
    pub skipped: SkippedFires,
}
