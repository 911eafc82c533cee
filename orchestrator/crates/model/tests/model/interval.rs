//! Fires and the interval of a manual run.

use std::time::Duration;

use updraft_model::interval::{FireError, Fires, manual_interval};
use updraft_model::schedule::{DataIntervalKind, Dst, Schedule};
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;

use super::support::workflow;

fn t(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap_or_else(|| panic!("`{text}` is no instant"))
}

fn cron(patterns: &[&str], timezone: &str) -> Schedule {
    Schedule::Cron {
        patterns: patterns.iter().map(ToString::to_string).collect(),
        timezone: timezone.to_owned(),
        dst: Dst::default(),
    }
}

fn interval(schedule: Option<Schedule>, kind: DataIntervalKind, at: &str) -> (String, String, bool) {
    let workflow = Workflow { schedule, data_interval: kind, ..workflow(Vec::new()) };
    let found = manual_interval(&workflow, t(at)).unwrap();
    (found.interval.start.to_string(), found.interval.end.to_string(), found.off_schedule.is_some())
}

#[test]
fn a_logical_date_takes_the_interval_that_starts_there_else_the_instant_itself() {
    use DataIntervalKind::{Point, Window};
    let every = |minutes: u64| Some(Schedule::Every(Duration::from_secs(60 * minutes)));
    let at = || Some(Schedule::Dates(vec![t("2026-03-01"), t("2026-01-01"), t("2026-02-01")]));
    for (schedule, kind, logical, end, off_schedule) in [
        (None, Window, "2026-01-31T09:30:12.5Z", "2026-01-31T09:30:12.500Z", false),
        (Some(Schedule::Once), Window, "2026-01-31T00:00:00Z", "2026-01-31T00:00:00Z", false),
        (Some(cron(&["0 * * * *"], "UTC")), Window, "2026-01-31T23:00:00Z", "2026-02-01T00:00:00Z", false),
        (Some(cron(&["@hourly"], "UTC")), Window, "2026-01-31T23:00:00Z", "2026-02-01T00:00:00Z", false),
        (Some(cron(&["0 * * * *"], "UTC")), Point, "2026-01-31T23:00:00Z", "2026-01-31T23:00:00Z", false),
        (Some(cron(&["0 * * * *"], "UTC")), Window, "2026-01-31T23:10:00Z", "2026-01-31T23:10:00Z", true),
        (
            Some(cron(&["0 6 * * *", "0 18 * * *"], "UTC")),
            Window,
            "2026-01-31T06:00:00Z",
            "2026-01-31T18:00:00Z",
            false,
        ),
        (Some(cron(&["*/20 * * * * *"], "UTC")), Window, "2026-01-31T06:00:40Z", "2026-01-31T06:01:00Z", false),
        (every(15), Window, "2026-01-31T06:15:00Z", "2026-01-31T06:30:00Z", false),
        (every(15), Window, "2026-01-31T06:16:00Z", "2026-01-31T06:16:00Z", true),
        (at(), Window, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", false),
        (at(), Window, "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", false),
        (at(), Window, "2026-01-15T00:00:00Z", "2026-01-15T00:00:00Z", true),
    ] {
        let found = interval(schedule.clone(), kind, logical);
        assert_eq!((found.1.as_str(), found.2), (end, off_schedule), "{schedule:?} {kind:?} at {logical}");
        assert_eq!(t(&found.0), t(logical), "an interval is never moved");
    }
}

#[test]
fn a_date_off_the_schedule_is_told_the_fires_around_it() {
    let workflow = Workflow { schedule: Some(cron(&["0 */6 * * *"], "UTC")), ..workflow(Vec::new()) };
    let found = manual_interval(&workflow, t("2026-01-31T07:00:00Z")).unwrap();
    assert_eq!(found.off_schedule, Some((Some(t("2026-01-31T06:00:00Z")), Some(t("2026-01-31T12:00:00Z")))));
    let early = Workflow { schedule: Some(Schedule::Dates(vec![t("2026-03-01")])), ..workflow };
    let found = manual_interval(&early, t("2026-01-31")).unwrap();
    assert_eq!(found.off_schedule, Some((None, Some(t("2026-03-01")))));
}

#[test]
fn days_follow_the_zone_through_clock_changes() {
    let berlin = || Some(cron(&["0 0 * * *"], "Europe/Berlin"));
    for (start, end) in [
        ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        ("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        ("2026-06-30T22:00:00Z", "2026-07-01T22:00:00Z"),
    ] {
        assert_eq!(interval(berlin(), DataIntervalKind::Window, start).1, end);
    }
}

#[test]
fn a_fixed_time_in_the_gap_fires_after_it_and_in_the_overlap_once() {
    let fires = |pattern| Fires::of(&cron(&[pattern], "Europe/Berlin"), None).unwrap().unwrap();
    let next = |fires: &Fires, from: &str| fires.after(t(from)).unwrap().map(|fire| fire.to_string());
    let gap = fires("30 2 * * *");
    assert_eq!(next(&gap, "2026-03-28T12:00:00Z").as_deref(), Some("2026-03-29T01:00:00Z"));
    let overlap = fires("30 2 * * *");
    assert_eq!(next(&overlap, "2026-10-24T12:00:00Z").as_deref(), Some("2026-10-25T00:30:00Z"));
    assert_eq!(next(&overlap, "2026-10-25T00:30:00Z").as_deref(), Some("2026-10-26T01:30:00Z"));
}

#[test]
fn an_every_schedule_starts_at_its_start_date() {
    let start = Some(t("2026-01-01T00:07:00Z"));
    let fires = Fires::of(&Schedule::Every(Duration::from_mins(10)), start).unwrap().unwrap();
    assert_eq!(fires.at_or_before(t("2026-01-01")).unwrap(), None);
    assert_eq!(fires.after(t("2025-06-01")).unwrap(), start);
    assert_eq!(fires.after(t("2026-01-01T00:07:00Z")).unwrap(), Some(t("2026-01-01T00:17:00Z")));
    assert_eq!(fires.at_or_before(t("2026-01-01T00:26:59Z")).unwrap(), Some(t("2026-01-01T00:17:00Z")));
}

#[test]
fn fires_strictly_increase_and_the_fire_before_is_found_again() {
    for schedule in [
        cron(&["*/7 * * * *"], "America/New_York"),
        cron(&["30 2 * * *", "15 3 * * 1"], "Europe/Berlin"),
        Schedule::Every(Duration::from_secs(97)),
    ] {
        let fires = Fires::of(&schedule, None).unwrap().unwrap();
        let mut at = t("2026-03-27T11:11:11Z");
        for _ in 0..400 {
            let next = fires.after(at).unwrap().unwrap();
            assert!(next > at);
            assert_eq!(fires.at_or_before(next).unwrap(), Some(next), "{schedule:?} at {next}");
            at = next;
        }
    }
}

#[test]
fn what_check_would_refuse_is_refused_here_too() {
    let pattern = Fires::of(&cron(&["61 * * * *"], "UTC"), None).unwrap_err();
    assert!(matches!(&pattern, FireError::Pattern { pattern, .. } if pattern == "61 * * * *"), "{pattern}");
    assert_eq!(Fires::of(&cron(&["* * * * *"], "Mars/Base"), None).unwrap_err(), FireError::Zone("Mars/Base".into()));
}

#[test]
fn a_pattern_that_never_fires_has_no_fires() {
    let never = Fires::of(&cron(&["0 0 30 2 *"], "Europe/Berlin"), None).unwrap().unwrap();
    assert_eq!(never.after(t("2026-01-01")).unwrap(), None);
    assert_eq!(never.at_or_before(t("2026-01-01")).unwrap(), None);
}
