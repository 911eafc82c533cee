//! Schedules as written, and the data interval that a logical date stands for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

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
    },
    /// A fixed span between fires, anchored at `start_date` (else at the Unix epoch).
    Every(#[serde(with = "crate::span::text")] Duration),
    /// Fixed instants.
    At(Vec<Timestamp>),
    /// One run, at once.
    Once,
    /// A new run as soon as the one before has ended.
    Continuous,
}

/// What to do about fires that were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Catchup {
    /// Leave them out.
    #[default]
    None,
    /// Run the last one.
    Latest,
    /// Run all.
    All,
    /// Run those inside a window, at most so many.
    Window {
        /// How far back.
        #[serde(with = "crate::span::text")]
        window: Duration,
        /// At most this many.
        max: Option<u32>,
    },
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
