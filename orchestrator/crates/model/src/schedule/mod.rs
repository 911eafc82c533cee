//! Schedules as written, when they fire, and what the fires of an outage become.
//!
//! [`fires`] says when a schedule fires, [`timetable`] which run each fire stands for, [`plan`] what to do with them now,
//! [`words`] and [`preview`] show it to people. All of it is a function of its arguments: no clock, no store.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

pub mod fires;
pub mod plan;
pub mod preview;
pub mod timetable;
pub mod words;

/// When a workflow runs by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Cron patterns in one zone; presets (`@hourly`) are kept as written.
    Cron {
        /// One or more patterns of five or six fields.
        patterns: Vec<String>,
        /// IANA zone.
        timezone: String,
        /// What clock changes do to it.
        #[serde(default, skip_serializing_if = "Dst::is_default")]
        dst: Dst,
    },
    /// A fixed span between fires, counted from `start_date`, else from the first publication.
    Every(#[serde(with = "crate::span::text")] Duration),
    /// Fixed instants.
    #[serde(rename = "dates", alias = "at")]
    Dates(Vec<Timestamp>),
    /// One run, at `start_date`, else at once.
    Once,
    /// A new run as soon as the one before has ended.
    Continuous,
}

/// What clock changes do to a cron schedule; what is left out follows from the pattern: *fixed-time* patterns (no `*`, `/`
/// or range in second, minute and hour) have `gap: after, overlap: first`, the others `gap: skip, overlap: both`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dst {
    /// Times that a clock set forward leaves out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// Times that a clock set back shows twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Pass>,
}

impl Dst {
    /// Nothing was said.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's `skip_serializing_if` asks for this shape")]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of a time that a clock set forward leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// It fires at the first instant after the gap, once.
    After,
    /// It does not fire.
    Skip,
}

/// Which showing of a time counts that a clock set back shows twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pass {
    /// The first.
    First,
    /// The second.
    Second,
    /// Both: two fires.
    Both,
}

/// What to do about fires that were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Catchup {
    /// Leave them out.
    None,
    /// Run the last one.
    #[default]
    Latest,
    /// Run all (at most [`plan::MAX_CATCHUP`]).
    All,
    /// Run those inside a window, at most so many.
    Window {
        /// How far back.
        #[serde(with = "crate::span::text")]
        window: Duration,
        /// At most this many, the newest; `None` = [`plan::DEFAULT_CATCHUP`].
        max: Option<u32>,
    },
}

/// What to do with a fire when `max_active_runs` runs are open already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// One run waits; further fires are skipped, and recorded.
    #[default]
    Queue,
    /// The fire is skipped, and recorded.
    Skip,
    /// Every fire becomes a run, and waits its turn.
    Allow,
}

impl Overlap {
    /// The default, which stored versions leave out.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's `skip_serializing_if` asks for this shape")]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a scheduled run stands for a span or for an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataIntervalKind {
    /// Logical date = start of the span; the run starts at its end (Airflow 2, dbt).
    #[default]
    Window,
    /// Logical date = the fire; the span is empty (Airflow 3's default).
    Point,
}
