//! Schedules.

use updraft_model::schedule::fires::{self, TZDB};
use updraft_model::schedule::plan::MAX_CATCHUP;
use updraft_model::schedule::preview::{Preview, kind, preview, schedule_zone};
use updraft_model::schedule::timetable::Timetable;
use updraft_model::schedule::{Catchup, DataIntervalKind, Gap, Overlap, Pass, Schedule, words};
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;
use updraft_store::history::Shift;

use super::run::interval;
use super::time;
use crate::dto::{DstPolicy, Fire, ScheduleKind, SchedulePreview, ScheduleText, SkippedFires, Time};
use crate::problem::Problem;

/// When a workflow runs by itself.
pub(crate) fn text(workflow: &Workflow) -> Option<ScheduleText> {
    let schedule = workflow.schedule.as_ref()?;
    Some(ScheduleText {
        text: words::written(schedule),
        words: words::words(schedule),
        timezone: schedule_zone(schedule).to_owned(),
    })
}

pub(crate) fn catchup(of: Catchup) -> String {
    match of {
        Catchup::None => "none".to_owned(),
        Catchup::Latest => "latest".to_owned(),
        Catchup::All => format!("all (at most {MAX_CATCHUP})"),
        Catchup::Window { window, max } => {
            let most = max.map(|max| format!(", at most {max}")).unwrap_or_default();
            format!("the last {}{most}", crate::words::span(window))
        }
    }
}

pub(crate) const fn overlap(of: Overlap) -> &'static str {
    match of {
        Overlap::Queue => "queue",
        Overlap::Skip => "skip",
        Overlap::Allow => "allow",
    }
}

pub(crate) const fn data_interval(of: DataIntervalKind) -> &'static str {
    match of {
        DataIntervalKind::Window => "window",
        DataIntervalKind::Point => "point",
    }
}

fn kind_of(schedule: Option<&Schedule>) -> ScheduleKind {
    match schedule.map(kind) {
        Some("fixed") => ScheduleKind::Fixed,
        Some("interval") => ScheduleKind::Interval,
        Some("every") => ScheduleKind::Every,
        Some("dates") => ScheduleKind::Dates,
        Some("once") => ScheduleKind::Once,
        Some("continuous") => ScheduleKind::Continuous,
        Some(_) | None => ScheduleKind::None,
    }
}

fn dst(schedule: Option<&Schedule>) -> DstPolicy {
    let said = match schedule {
        Some(Schedule::Cron { dst, .. }) => Some(dst),
        Some(Schedule::Every(_) | Schedule::Dates(_) | Schedule::Once | Schedule::Continuous) | None => None,
    };
    let fixed = kind_of(schedule) == ScheduleKind::Fixed;
    let gap = match said.and_then(|dst| dst.gap).unwrap_or(if fixed { Gap::After } else { Gap::Skip }) {
        Gap::After => "after",
        Gap::Skip => "skip",
    };
    let overlap = match said.and_then(|dst| dst.overlap).unwrap_or(if fixed { Pass::First } else { Pass::Both }) {
        Pass::First => "first",
        Pass::Second => "second",
        Pass::Both => "both",
    };
    DstPolicy { gap: gap.to_owned(), overlap: overlap.to_owned() }
}

/// What the store knows of a schedule.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    /// It makes no runs.
    pub paused: bool,
    /// What `every` counts from without a `start_date`.
    pub anchor: Timestamp,
    /// Everything up to here has been decided.
    pub cursor: Option<Timestamp>,
    /// What was skipped.
    pub skipped: SkippedFires,
}

/// A schedule and its next fires.
pub(crate) fn schedule(
    workflow: &Workflow,
    standing: Standing,
    zone: Option<&str>,
    n: usize,
    now: Timestamp,
) -> Result<SchedulePreview, Problem> {
    let schedule = workflow.schedule.as_ref();
    let shown_in = zone.unwrap_or_else(|| schedule.map_or("UTC", schedule_zone));
    known_zone(shown_in)?;
    let failed = |error: fires::FireError| Problem::unfit("bad_schedule", error.to_string());
    let timetable = Timetable::of(workflow, standing.anchor).map_err(failed)?;
    let next = match &timetable {
        Some(timetable) => preview(timetable, now, n, shown_in).map_err(failed)?,
        None => Vec::new(),
    };
    let said = text(workflow);
    Ok(SchedulePreview {
        workflow: workflow.id.clone(),
        text: said.as_ref().map(|said| said.text.clone()),
        words: said.as_ref().map(|said| said.words.clone()),
        timezone: said.map(|said| said.timezone),
        tzdb: TZDB.to_owned(),
        kind: kind_of(schedule),
        dst: dst(schedule),
        catchup: catchup(workflow.catchup),
        paused: standing.paused,
        start_date: time(workflow.start_date),
        end_date: time(workflow.end_date),
        next: next.into_iter().map(fire).collect(),
        cursor: time(standing.cursor),
        skipped: standing.skipped,
    })
}

fn fire(of: Preview) -> Fire {
    Fire {
        at: Time(of.fire.due),
        local: of.local,
        offset: of.offset,
        logical_date: Time(of.fire.logical_at),
        interval: interval(of.fire.interval),
        note: of.note,
    }
}

/// The next fires of a workflow, at most so many.
pub(crate) fn next_fires(workflow: &Workflow, anchor: Timestamp, after: Timestamp, n: usize) -> Vec<Timestamp> {
    let Ok(Some(timetable)) = Timetable::of(workflow, anchor) else { return Vec::new() };
    if timetable.is_continuous() {
        return Vec::new();
    }
    timetable.walk(after).map_while(Result::ok).map(|fire| fire.due).take(n).collect()
}

/// The zone of that name.
pub(crate) fn known_zone(name: &str) -> Result<jiff::tz::TimeZone, Problem> {
    fires::zone(name).ok_or_else(|| {
        Problem::bad_request("unknown_zone", format!("there is no time zone `{name}`"))
            .hint("write an IANA name such as Europe/Berlin")
    })
}

/// The UTC offsets of a zone from an instant until another.
pub(crate) fn shifts(zone: &jiff::tz::TimeZone, from: Timestamp, until: Timestamp) -> Vec<Shift> {
    let Ok(start) = jiff::Timestamp::from_millisecond(from.as_millis()) else { return Vec::new() };
    let first = Shift { from, offset_seconds: zone.to_offset(start).seconds() };
    let later = zone.following(start).map(|change| Shift {
        from: Timestamp::from_millis(change.timestamp().as_millisecond()),
        offset_seconds: change.offset().seconds(),
    });
    [first].into_iter().chain(later.take_while(|shift| shift.from < until)).collect()
}

/// First instants of a year and the next one in a zone.
pub(crate) fn year(zone: &jiff::tz::TimeZone, year: i32) -> Result<(Timestamp, Timestamp), Problem> {
    let begin = |year: i32| {
        let year = i16::try_from(year).ok()?;
        let date = jiff::civil::Date::new(year, 1, 1).ok()?;
        let zoned = date.to_zoned(zone.clone()).ok()?;
        Some(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
    };
    let year_after = Some(year).filter(|year| (1970..=9998).contains(year)).and_then(|year| begin(year + 1));
    begin(year)
        .zip(year_after)
        .ok_or_else(|| Problem::bad_request("bad_query", format!("`year` is {year}; it must be 1970 to 9998")))
}

/// The civil date of an instant.
pub(crate) fn civil_date(zone: &jiff::tz::TimeZone, at: Timestamp) -> Option<String> {
    Some(zone.to_datetime(jiff::Timestamp::from_millisecond(at.as_millis()).ok()?).date().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_has_the_offsets_of_its_zone() {
        let berlin = known_zone("Europe/Berlin").unwrap();
        let (from, until) = year(&berlin, 2026).unwrap();
        assert_eq!(from.to_string(), "2025-12-31T23:00:00Z");
        let offsets: Vec<_> =
            shifts(&berlin, from, until).iter().map(|s| (s.from.to_string(), s.offset_seconds)).collect();
        assert_eq!(
            offsets,
            [
                ("2025-12-31T23:00:00Z".to_owned(), 3600),
                ("2026-03-29T01:00:00Z".to_owned(), 7200),
                ("2026-10-25T01:00:00Z".to_owned(), 3600)
            ]
        );
        assert_eq!(civil_date(&berlin, from).as_deref(), Some("2026-01-01"));
        assert!(known_zone("Mars/Olympus").is_err() && year(&berlin, 99_999).is_err());
    }
}
