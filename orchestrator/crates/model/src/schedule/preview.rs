//! The next fires of a schedule, for people: `updraft schedules next`, the API and the UI.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::Schedule;
use super::fires::{FireError, zone, zoned};
use super::timetable::{Fire, Timetable};
use crate::time::Timestamp;

/// One fire to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The fire and the run that it stands for.
    pub fire: Fire,
    /// The fire by the clock of the zone: `2026-03-29 03:00:00`.
    pub local: String,
    /// The zone's offset then: `+02:00`.
    pub offset: String,
    /// What clock changes did to it, in words.
    pub note: Option<String>,
}

/// The zone that a schedule is written in; `UTC` if it does not name one.
pub fn schedule_zone(schedule: &Schedule) -> &str {
    match schedule {
        Schedule::Cron { timezone, .. } => timezone,
        Schedule::Every(_) | Schedule::Dates(_) | Schedule::Once | Schedule::Continuous => "UTC",
    }
}

/// What sort of schedule it is, in one word: `fixed`, `interval`, `every`, `dates`, `once`, `continuous`.
pub fn kind(schedule: &Schedule) -> &'static str {
    match schedule {
        Schedule::Cron { patterns, .. } => {
            if patterns.iter().all(|pattern| super::fires::is_fixed_time(pattern)) {
                "fixed"
            } else {
                "interval"
            }
        }
        Schedule::Every(_) => "every",
        Schedule::Dates(_) => "dates",
        Schedule::Once => "once",
        Schedule::Continuous => "continuous",
    }
}

/// The next `n` fires after an instant, shown in the zone of that name. None for a schedule that is continuous.
///
/// # Errors
/// The schedule cannot be computed, or there is no such zone.
pub fn preview(timetable: &Timetable, after: Timestamp, n: usize, shown_in: &str) -> Result<Vec<Preview>, FireError> {
    let zone = zone(shown_in).ok_or_else(|| FireError::Zone(shown_in.to_owned()))?;
    timetable.walk(after).take(n).map(|fire| one(timetable, fire?, &zone)).collect()
}

fn one(timetable: &Timetable, fire: Fire, zone: &TimeZone) -> Result<Preview, FireError> {
    let local = zoned(fire.at, zone)?;
    Ok(Preview {
        fire,
        local: local.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        offset: local.strftime("%:z").to_string(),
        note: note(timetable, fire.at),
    })
}

/// What a clock change did to a fire, by the zone that the schedule is written in.
fn note(timetable: &Timetable, fire: Timestamp) -> Option<String> {
    let fires = timetable.fires()?;
    let zone = fires.zone()?;
    let local = zoned(fire, zone).ok()?;
    if let Some(meant) = fires.moved_from(fire) {
        return Some(format!(
            "{} does not exist on {}: clocks go forward; fires at the first instant after",
            time(meant),
            meant.date()
        ));
    }
    match zone.to_ambiguous_timestamp(local.datetime()).offset() {
        AmbiguousOffset::Fold { before, .. } => {
            let which = if local.offset() == before { "first" } else { "second" };
            Some(format!("the {which} of two {} that day: clocks go back", time(local.datetime())))
        }
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => None,
    }
}

fn time(civil: DateTime) -> String {
    let form = if civil.second() == 0 { "%H:%M" } else { "%H:%M:%S" };
    civil.strftime(form).to_string()
}
