//! Fires, windows, bounds and words of schedules.

use std::time::Duration;

use updraft_model::schedule::fires::{TZDB, is_fixed_time};
use updraft_model::schedule::preview::{kind, preview};
use updraft_model::schedule::timetable::Timetable;
use updraft_model::schedule::words::words;
use updraft_model::schedule::{Catchup, DataIntervalKind, Dst, Gap, Overlap, Pass, Schedule};
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;

use super::support::workflow;

pub fn t(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap_or_else(|| panic!("`{text}` is no instant"))
}

pub fn cron(pattern: &str, timezone: &str) -> Schedule {
    Schedule::Cron { patterns: vec![pattern.to_owned()], timezone: timezone.to_owned(), dst: Dst::default() }
}

pub fn scheduled(schedule: Schedule) -> Workflow {
    Workflow { schedule: Some(schedule), ..workflow(Vec::new()) }
}

fn next(workflow: &Workflow, published: &str, n: usize) -> Vec<String> {
    let timetable = Timetable::of(workflow, t(published)).unwrap().unwrap();
    let fires = timetable.walk(t(published)).take(n).map(|fire| {
        let fire = fire.unwrap();
        assert_eq!(timetable.last(fire.at).unwrap(), Some(fire), "found again from behind");
        format!("{} for {}/{}", fire.at, fire.interval.start, fire.interval.end)
    });
    fires.collect()
}

#[test]
fn fixed_time_and_interval_patterns_are_told_apart_by_their_writing() {
    for fixed in ["30 2 * * *", "0,30 2 * * *", "0 0,12 * * 1-5", "15 30 2 */2 * *", "@daily", "@weekly", "0 0 L * *"] {
        assert!(is_fixed_time(fixed), "{fixed}");
    }
    for interval in ["* * * * *", "*/5 2 * * *", "0 * * * *", "0 1-3 * * *", "* 30 2 * * *", "@hourly", "5-5 2 * * *"] {
        assert!(!is_fixed_time(interval), "{interval}");
    }
}

#[test]
fn windows_end_at_their_fire_and_points_are_the_fire() {
    let daily = scheduled(cron("0 0 * * *", "UTC"));
    assert_eq!(
        next(&daily, "2026-01-31T12:00:00Z", 1),
        ["2026-02-01T00:00:00Z for 2026-01-31T00:00:00Z/2026-02-01T00:00:00Z"]
    );
    let point = Workflow { data_interval: DataIntervalKind::Point, ..daily };
    assert_eq!(
        next(&point, "2026-01-31T12:00:00Z", 1),
        ["2026-02-01T00:00:00Z for 2026-02-01T00:00:00Z/2026-02-01T00:00:00Z"]
    );
}

#[test]
fn start_and_end_bound_the_logical_date() {
    let bounded = Workflow {
        start_date: Some(t("2026-01-01T12:00:00Z")),
        end_date: Some(t("2026-01-03")),
        ..scheduled(cron("0 0 * * *", "UTC"))
    };
    assert_eq!(
        next(&bounded, "2025-12-01", 9),
        [
            "2026-01-03T00:00:00Z for 2026-01-02T00:00:00Z/2026-01-03T00:00:00Z",
            "2026-01-04T00:00:00Z for 2026-01-03T00:00:00Z/2026-01-04T00:00:00Z"
        ]
    );
    let timetable = Timetable::of(&bounded, t("2025-12-01")).unwrap().unwrap();
    assert_eq!(timetable.last(t("2027-01-01")).unwrap().unwrap().at, t("2026-01-04"));
    let points = Workflow { data_interval: DataIntervalKind::Point, ..bounded };
    assert_eq!(next(&points, "2025-12-01", 9).len(), 2, "the 2nd and the 3rd");
}

#[test]
fn every_counts_from_its_start_else_from_the_first_publication() {
    let every = scheduled(Schedule::Every(Duration::from_mins(10)));
    assert_eq!(
        next(&every, "2026-01-01T00:03:07.250Z", 2),
        [
            "2026-01-01T00:13:07Z for 2026-01-01T00:03:07Z/2026-01-01T00:13:07Z",
            "2026-01-01T00:23:07Z for 2026-01-01T00:13:07Z/2026-01-01T00:23:07Z"
        ]
    );
    let anchored = Workflow { start_date: Some(t("2026-01-02")), ..every };
    assert_eq!(
        next(&anchored, "2026-01-01", 1),
        ["2026-01-02T00:10:00Z for 2026-01-02T00:00:00Z/2026-01-02T00:10:00Z"],
        "the first window ends ten minutes after the start"
    );
}

#[test]
fn dates_and_once_are_points() {
    let dates = scheduled(Schedule::Dates(vec![t("2026-03-01"), t("2026-01-01"), t("2026-03-01")]));
    assert_eq!(
        next(&dates, "2025-01-01", 9),
        [
            "2026-01-01T00:00:00Z for 2026-01-01T00:00:00Z/2026-01-01T00:00:00Z",
            "2026-03-01T00:00:00Z for 2026-03-01T00:00:00Z/2026-03-01T00:00:00Z"
        ]
    );
    let once = Timetable::of(&scheduled(Schedule::Once), t("2026-01-01T00:00:00.5Z")).unwrap().unwrap();
    assert_eq!(once.next(t("2025-12-31")).unwrap().unwrap().at, t("2026-01-01"));
    assert_eq!(once.next(t("2026-01-01")).unwrap(), None);
}

#[test]
fn two_times_in_one_gap_are_one_fire() {
    let patterns = vec!["10 2 * * *".to_owned(), "0,40 2 * * *".to_owned(), "0 3 * * *".to_owned()];
    let schedule = Schedule::Cron { patterns, timezone: "Europe/Berlin".to_owned(), dst: Dst::default() };
    let workflow = Workflow { data_interval: DataIntervalKind::Point, ..scheduled(schedule) };
    let fires = next(&workflow, "2026-03-29T00:00:00Z", 2);
    assert!(fires[0].starts_with("2026-03-29T01:00:00Z"), "{fires:?}");
    assert!(fires[1].starts_with("2026-03-30T00:00:00Z"), "{fires:?}");
}

#[test]
fn days_of_month_and_week_are_joined_by_or() {
    let workflow = Workflow { data_interval: DataIntervalKind::Point, ..scheduled(cron("0 0 13 * 5", "UTC")) };
    let days: Vec<String> = next(&workflow, "2026-03-01", 4).iter().map(|fire| fire[..10].to_owned()).collect();
    assert_eq!(days, ["2026-03-06", "2026-03-13", "2026-03-20", "2026-03-27"]);
    let days: Vec<String> = next(&workflow, "2026-04-01", 4).iter().map(|fire| fire[..10].to_owned()).collect();
    assert_eq!(days, ["2026-04-03", "2026-04-10", "2026-04-13", "2026-04-17"]);
}

#[test]
fn jitter_is_the_same_everywhere_bounded_and_not_in_the_key() {
    let jittered = |id: &str| {
        let workflow = scheduled(cron("0 * * * *", "UTC"));
        let workflow = Workflow { id: id.to_owned(), jitter: Some(Duration::from_mins(5)), ..workflow };
        let timetable = Timetable::of(&workflow, t("2026-01-01")).unwrap().unwrap();
        timetable.walk(t("2026-01-01")).take(200).map(Result::unwrap).collect::<Vec<_>>()
    };
    let (one, other) = (jittered("one"), jittered("other"));
    assert_eq!(one, jittered("one"));
    assert_ne!(one, other);
    for fire in one.iter().chain(&other) {
        assert!(fire.due >= fire.at && fire.due.since(fire.at) <= Duration::from_mins(5));
        assert_eq!(fire.at.as_millis() % 3_600_000, 0);
        assert_eq!(fire.run_key(), fire.at.to_string());
    }
    let spread: std::collections::HashSet<_> = one.iter().map(|fire| fire.due.since(fire.at)).collect();
    assert!(spread.len() > 190);
}

#[test]
fn schedules_in_words() {
    for (pattern, said) in [
        ("30 2 * * *", "every day at 02:30 Europe/Berlin"),
        ("0 6,18 * * *", "every day at 06:00 and 18:00 Europe/Berlin"),
        ("*/10 * * * *", "every 10 minutes Europe/Berlin"),
        ("5 * * * *", "every hour at minute 5 Europe/Berlin"),
        ("@hourly", "every hour Europe/Berlin"),
        ("0 */6 * * *", "every 6 hours Europe/Berlin"),
        ("* * * * *", "every minute Europe/Berlin"),
        ("*/10 * * * * *", "every 10 seconds Europe/Berlin"),
        ("0 9 * * 1-5", "Monday to Friday at 09:00 Europe/Berlin"),
        ("0 9 * * MON,THU", "Mondays and Thursdays at 09:00 Europe/Berlin"),
        ("*/15 * * * 1-5", "every 15 minutes, Monday to Friday Europe/Berlin"),
        ("0 0 1,15 * *", "on day 1 and 15 of every month at 00:00 Europe/Berlin"),
        ("0 0 L * *", "on the last day of every month at 00:00 Europe/Berlin"),
        ("@yearly", "on 1 January of every year at 00:00 Europe/Berlin"),
        ("@weekly", "Sundays at 00:00 Europe/Berlin"),
    ] {
        assert_eq!(words(&cron(pattern, "Europe/Berlin")), said, "{pattern}");
    }
    // What has no short form is told by croner.
    let odd = words(&cron("0 12 * * 5#L", "UTC"));
    assert!(odd.to_lowercase().contains("friday") && odd.ends_with(" UTC"), "{odd}");
    assert_eq!(words(&Schedule::Every(Duration::from_mins(90))), "every 1h30m");
    assert_eq!(words(&Schedule::Continuous), "again as soon as the last run has ended");
}

#[test]
fn a_preview_shows_both_clocks_and_says_what_a_change_did() {
    let workflow =
        Workflow { data_interval: DataIntervalKind::Point, ..scheduled(cron("30 2 * * *", "Europe/Berlin")) };
    let timetable = Timetable::of(&workflow, t("2026-01-01")).unwrap().unwrap();
    let spring = preview(&timetable, t("2026-03-28"), 2, "Europe/Berlin").unwrap();
    assert_eq!((spring[0].local.as_str(), spring[0].offset.as_str()), ("2026-03-28 02:30:00", "+01:00"));
    assert_eq!(spring[0].note, None);
    assert_eq!((spring[1].local.as_str(), spring[1].offset.as_str()), ("2026-03-29 03:00:00", "+02:00"));
    assert_eq!(
        spring[1].note.as_deref(),
        Some("02:30 does not exist on 2026-03-29: clocks go forward; fires at the first instant after")
    );
    let autumn = preview(&timetable, t("2026-10-24T12:00:00Z"), 1, "UTC").unwrap();
    assert_eq!((autumn[0].local.as_str(), autumn[0].offset.as_str()), ("2026-10-25 00:30:00", "+00:00"));
    assert_eq!(autumn[0].note.as_deref(), Some("the first of two 02:30 that day: clocks go back"));
    assert!(preview(&timetable, t("2026-10-24"), 1, "Mars/Base").is_err());
    assert_eq!(kind(&cron("30 2 * * *", "UTC")), "fixed");
    assert_eq!(kind(&cron("*/5 * * * *", "UTC")), "interval");
    assert!(TZDB.starts_with("20"), "{TZDB}");
}

#[test]
fn versions_stored_before_are_still_read() {
    let old = r#"{"id":"w","schedule":{"cron":{"patterns":["0 5 * * *"],"timezone":"Europe/Berlin"}},"catchup":"none",
        "data_interval":"window","max_active_runs":16,"max_active_tasks":16,"tasks":[]}"#;
    let workflow: Workflow = serde_json::from_str(old).unwrap();
    assert_eq!(workflow.schedule, Some(cron("0 5 * * *", "Europe/Berlin")));
    assert_eq!((workflow.catchup, workflow.overlap, workflow.paused), (Catchup::None, Overlap::Queue, false));
    let old = r#"{"id":"w","schedule":{"at":[1767225600000]},"max_active_runs":16,"tasks":[]}"#;
    let workflow: Workflow = serde_json::from_str(old).unwrap();
    assert_eq!(workflow.schedule, Some(Schedule::Dates(vec![t("2026-01-01")])));
    let dst = Dst { gap: Some(Gap::Skip), overlap: Some(Pass::Both) };
    let new = Workflow {
        schedule: Some(Schedule::Cron { patterns: vec!["@daily".into()], timezone: "UTC".into(), dst }),
        jitter: Some(Duration::from_secs(90)),
        overlap: Overlap::Skip,
        paused: true,
        ..workflow
    };
    let text = serde_json::to_string(&new).unwrap();
    assert_eq!(serde_json::from_str::<Workflow>(&text).unwrap(), new, "{text}");
}
