//! Fires of a schedule, and the data interval that a logical date stands for.
//!
//! Time zones come from the database that is built in, so every host computes the same fires.

use std::sync::LazyLock;

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::schedule::{DataIntervalKind, Schedule};
use crate::time::{DataInterval, Timestamp};
use crate::workflow::Workflow;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Why a schedule has no fires to compute.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FireError {
    /// Not a cron pattern.
    #[error("`{pattern}` is not a cron pattern: {detail}")]
    Pattern {
        /// As written.
        pattern: String,
        /// What is wrong.
        detail: String,
    },
    /// Not an IANA zone.
    #[error("`{0}` is not a time zone of the built-in IANA database")]
    Zone(String),
    /// An instant that calendars do not reach.
    #[error("{0} is outside the years that schedules know (−9999 to 9999)")]
    OutOfRange(Timestamp),
}

/// The interval of a manual run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManualInterval {
    /// The data it is for.
    pub interval: DataInterval,
    /// Set if the workflow has a schedule that does not fire at the logical date: the fires before and after it.
    /// The interval is then the instant itself; a warning should say so.
    pub off_schedule: Option<(Option<Timestamp>, Option<Timestamp>)>,
}

/// The interval of a manual run with this logical date: the one that starts there by the workflow's schedule, else the
/// instant itself. A date that is no fire is never moved to one: that would silently be other data than was asked for.
///
/// # Errors
/// The schedule cannot be computed.
pub fn manual_interval(workflow: &Workflow, logical_at: Timestamp) -> Result<ManualInterval, FireError> {
    let point = DataInterval { start: logical_at, end: logical_at };
    let on_schedule = |interval| ManualInterval { interval, off_schedule: None };
    let Some(schedule) = &workflow.schedule else { return Ok(on_schedule(point)) };
    let Some(fires) = Fires::of(schedule, workflow.start_date)? else { return Ok(on_schedule(point)) };
    let latest = fires.at_or_before(logical_at)?;
    let next = fires.after(logical_at)?;
    if latest != Some(logical_at) {
        return Ok(ManualInterval { interval: point, off_schedule: Some((latest, next)) });
    }
    Ok(on_schedule(match (workflow.data_interval, next) {
        (DataIntervalKind::Window, Some(end)) => DataInterval { start: logical_at, end },
        (DataIntervalKind::Window, None) | (DataIntervalKind::Point, _) => point,
    }))
}

/// A schedule that fires at instants known in advance.
#[derive(Debug, Clone)]
pub struct Fires(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Cron {
        patterns: Vec<Cron>,
        zone: TimeZone,
    },
    Every {
        anchor: i64,
        step: i64,
    },
    /// Sorted, each once.
    At(Vec<Timestamp>),
}

impl Fires {
    /// `None` for schedules that do not fire by the clock (`@once`, `@continuous`).
    ///
    /// # Errors
    /// A pattern or zone that `check` would have refused.
    pub fn of(schedule: &Schedule, start_date: Option<Timestamp>) -> Result<Option<Self>, FireError> {
        Ok(match schedule {
            Schedule::Cron { patterns, timezone } => {
                let zone = ZONES.get(timezone).map_err(|_| FireError::Zone(timezone.clone()))?;
                let patterns = patterns.iter().map(|pattern| parse(pattern)).collect::<Result<_, _>>()?;
                Some(Self(Kind::Cron { patterns, zone }))
            }
            Schedule::Every(span) => {
                let step = i64::try_from(span.as_millis()).unwrap_or(i64::MAX).max(1);
                Some(Self(Kind::Every { anchor: start_date.unwrap_or_default().as_millis(), step }))
            }
            Schedule::At(instants) => {
                let mut instants = instants.clone();
                instants.sort_unstable();
                instants.dedup();
                Some(Self(Kind::At(instants)))
            }
            Schedule::Once | Schedule::Continuous => None,
        })
    }

    /// The first fire after an instant.
    ///
    /// # Errors
    /// The instant is beyond the calendar.
    pub fn after(&self, at: Timestamp) -> Result<Option<Timestamp>, FireError> {
        match &self.0 {
            Kind::Cron { patterns, zone } => {
                let mut first: Option<Timestamp> = None;
                for cron in patterns {
                    let found = cron.find_next_occurrence(&zoned(at, zone)?, false);
                    first = first.into_iter().chain(instant(found, at)?).min();
                }
                Ok(first)
            }
            Kind::Every { anchor, step } => {
                let since = at.as_millis().saturating_sub(*anchor);
                let number = if since < 0 { 0 } else { since / step + 1 };
                Ok(step.checked_mul(number).and_then(|span| anchor.checked_add(span)).map(Timestamp::from_millis))
            }
            Kind::At(instants) => Ok(instants.iter().copied().find(|fire| *fire > at)),
        }
    }

    /// The last fire at or before an instant.
    ///
    /// # Errors
    /// The instant is beyond the calendar.
    pub fn at_or_before(&self, at: Timestamp) -> Result<Option<Timestamp>, FireError> {
        match &self.0 {
            Kind::Cron { patterns, zone } => {
                let mut last: Option<Timestamp> = None;
                for cron in patterns {
                    let found = cron.find_previous_occurrence(&zoned(at, zone)?, true);
                    last = last.into_iter().chain(instant(found, at)?).max();
                }
                Ok(last)
            }
            Kind::Every { anchor, step } => {
                let since = at.as_millis().saturating_sub(*anchor);
                Ok((since >= 0).then(|| Timestamp::from_millis(at.as_millis() - since % step)))
            }
            Kind::At(instants) => Ok(instants.iter().copied().rfind(|fire| *fire <= at)),
        }
    }
}

fn parse(pattern: &str) -> Result<Cron, FireError> {
    CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .build()
        .parse(pattern)
        .map_err(|error| FireError::Pattern { pattern: pattern.to_owned(), detail: error.to_string() })
}

/// The whole second at or before an instant: fires have no fraction.
fn zoned(at: Timestamp, zone: &TimeZone) -> Result<jiff::Zoned, FireError> {
    let second = jiff::Timestamp::from_second(at.as_millis().div_euclid(1_000));
    Ok(second.map_err(|_| FireError::OutOfRange(at))?.to_zoned(zone.clone()))
}

fn instant(found: Result<jiff::Zoned, CronError>, at: Timestamp) -> Result<Option<Timestamp>, FireError> {
    match found {
        Ok(fire) => Ok(Some(Timestamp::from_millis(fire.timestamp().as_millisecond()))),
        // Patterns such as `0 0 30 2 *` never fire; others do not in the years that remain.
        Err(CronError::TimeSearchLimitExceeded) => Ok(None),
        Err(_) => Err(FireError::OutOfRange(at)),
    }
}
