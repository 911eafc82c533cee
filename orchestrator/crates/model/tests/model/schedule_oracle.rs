//! Fires beside a brute-force oracle: every civil minute that a pattern matches, and every instant that shows it, found by
//! trying the offsets in force. Ten years of all transitions of all zones, and oddities by name.

use std::collections::{BTreeSet, HashSet};

use jiff::tz::{TimeZone, TimeZoneDatabase};
use updraft_model::schedule::fires::{Fires, is_fixed_time};
use updraft_model::schedule::{Dst, Gap, Pass, Schedule};
use updraft_model::time::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// Seconds since the epoch → offset in force from then on.
struct Segment {
    start: i64,
    end: i64,
    offset: i64,
}

fn segments(zone: &TimeZone, from: i64, until: i64) -> Vec<Segment> {
    let stamp = |second| jiff::Timestamp::from_second(second).unwrap();
    let mut segments =
        vec![Segment { start: i64::MIN, end: i64::MAX, offset: zone.to_offset(stamp(from)).seconds().into() }];
    for change in zone.following(stamp(from)).take_while(|change| change.timestamp().as_second() < until) {
        let (at, offset) = (change.timestamp().as_second(), i64::from(change.offset().seconds()));
        if let Some(last) = segments.last_mut().filter(|last| last.offset != offset) {
            last.end = at;
            segments.push(Segment { start: at, end: i64::MAX, offset });
        }
    }
    segments
}

/// Minutes and hours of every day.
struct Pattern {
    text: String,
    minutes: BTreeSet<i64>,
    hours: BTreeSet<i64>,
}

impl Pattern {
    fn list(minutes: &[i64], hours: &[i64]) -> Self {
        let text = |numbers: &[i64]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        Self {
            text: format!("{} {} * * *", text(minutes), text(hours)),
            minutes: minutes.iter().copied().collect(),
            hours: hours.iter().copied().collect(),
        }
    }

    fn every(step: i64) -> Self {
        Self {
            text: format!("*/{step} * * * *"),
            minutes: (0..60).step_by(usize::try_from(step).unwrap()).collect(),
            hours: (0..24).collect(),
        }
    }

    fn range(minute: i64, hours: std::ops::RangeInclusive<i64>) -> Self {
        Self {
            text: format!("{minute} {}-{} * * *", hours.start(), hours.end()),
            minutes: [minute].into(),
            hours: hours.collect(),
        }
    }
}

/// Fires after `from` and before `until`, by definition.
fn expected(pattern: &Pattern, dst: Dst, segments: &[Segment], from: i64, until: i64) -> Vec<i64> {
    let fixed = is_fixed_time(&pattern.text);
    let gap = dst.gap.unwrap_or(if fixed { Gap::After } else { Gap::Skip });
    let pass = dst.overlap.unwrap_or(if fixed { Pass::First } else { Pass::Both });
    let mut fires = BTreeSet::new();
    let mut day = (from - 2 * DAY).div_euclid(DAY) * DAY;
    while day < until + 2 * DAY {
        for hour in &pattern.hours {
            for minute in &pattern.minutes {
                let civil = day + hour * HOUR + minute * MINUTE;
                let shown: Vec<i64> = segments
                    .iter()
                    .map(|segment| (civil - segment.offset, segment))
                    .filter(|(at, segment)| (segment.start..segment.end).contains(at))
                    .map(|(at, _)| at)
                    .collect();
                match (shown.as_slice(), pass, gap) {
                    ([], _, Gap::Skip) => {}
                    ([], _, Gap::After) => fires.extend(segments.windows(2).filter_map(|pair| {
                        let left_out = pair[1].start + pair[0].offset..pair[1].start + pair[1].offset;
                        left_out.contains(&civil).then_some(pair[1].start)
                    })),
                    ([only], ..) => drop(fires.insert(*only)),
                    ([first, ..], Pass::First, _) => drop(fires.insert(*first)),
                    ([.., last], Pass::Second, _) => drop(fires.insert(*last)),
                    (all, Pass::Both, _) => fires.extend(all),
                }
            }
        }
        day += DAY;
    }
    fires.into_iter().filter(|fire| (from + 1..until).contains(fire)).collect()
}

/// Compares forwards and backwards; the number of fires seen.
fn compare(zone_name: &str, pattern: &Pattern, dst: Dst, segments: &[Segment], from: i64, until: i64) -> usize {
    let schedule = Schedule::Cron { patterns: vec![pattern.text.clone()], timezone: zone_name.to_owned(), dst };
    let fires = Fires::of(&schedule, None).unwrap().unwrap();
    let second = |at: i64| Timestamp::from_millis(at * 1_000);
    let expected = expected(pattern, dst, segments, from, until);
    let mut found = Vec::new();
    let mut at = second(from);
    while let Some(next) = fires.after(at).unwrap().filter(|next| *next < second(until)) {
        assert!(next > at, "{zone_name} {} {dst:?}: {next} after {at}", pattern.text);
        found.push(next.as_millis() / 1_000);
        at = next;
    }
    let show = |fires: &[i64]| fires.iter().map(|at| second(*at).to_string()).collect::<Vec<_>>();
    assert_eq!(show(&found), show(&expected), "{zone_name} `{}` {dst:?}", pattern.text);
    for pair in expected.windows(2) {
        let before = fires.at_or_before(second(pair[1] - 1)).unwrap();
        assert_eq!(before, Some(second(pair[0])), "{zone_name} `{}` {dst:?} before {}", pattern.text, second(pair[1]));
    }
    if let Some(last) = expected.last() {
        assert_eq!(fires.at_or_before(second(*last)).unwrap(), Some(second(*last)), "{zone_name} `{}`", pattern.text);
    }
    expected.len()
}

const POLICIES: [(Option<Gap>, Option<Pass>); 7] = [
    (None, None),
    (Some(Gap::After), Some(Pass::First)),
    (Some(Gap::Skip), Some(Pass::Second)),
    (Some(Gap::After), Some(Pass::Both)),
    (Some(Gap::Skip), Some(Pass::First)),
    (Some(Gap::After), Some(Pass::Second)),
    (Some(Gap::Skip), Some(Pass::Both)),
];

/// Patterns that hit what a change from `before` to `after` leaves out or shows twice, and its neighbourhood.
fn patterns(at: i64, before: i64, after: i64, salt: i64) -> Vec<Pattern> {
    let (low, high) = (at + before.min(after), at + before.max(after));
    let time = |civil: i64| (civil.div_euclid(HOUR).rem_euclid(24), civil.div_euclid(MINUTE).rem_euclid(60));
    let middle = low + (high - low) / 2 / MINUTE * MINUTE;
    let edges = [low, low - MINUTE, high - MINUTE, high, middle, middle + MINUTE, low + HOUR, high + HOUR];
    let (hour, minute) = time(edges[usize::try_from(salt.rem_euclid(8)).unwrap()]);
    let (inner_hour, inner_minute) = time(middle);
    let (high_hour, _) = time(high);
    let mut hours = vec![inner_hour, high_hour];
    hours.sort_unstable();
    hours.dedup();
    let mut minutes = vec![inner_minute, (inner_minute + 7 + salt) % 60];
    minutes.sort_unstable();
    minutes.dedup();
    let mut patterns = vec![Pattern::list(&[minute], &[hour]), Pattern::list(&minutes, &hours)];
    match salt.rem_euclid(3) {
        0 => patterns.push(Pattern::every(15)),
        1 => patterns.push(Pattern::range(inner_minute, 0..=(hour.max(1)))),
        _ => patterns.push(Pattern::every(20)),
    }
    patterns
}

fn around(name: &str, zone: &TimeZone, at: i64, salt: i64) -> usize {
    let (from, until) = (at - 30 * HOUR, at + 54 * HOUR);
    let segments = segments(zone, from - 4 * DAY, until + 4 * DAY);
    let Some(change) = segments.windows(2).find(|pair| pair[1].start == at) else { return 0 };
    let mut fires = 0;
    for (index, pattern) in patterns(at, change[0].offset, change[1].offset, salt).iter().enumerate() {
        let (gap, overlap) = POLICIES[usize::try_from(salt).unwrap().wrapping_add(index) % POLICIES.len()];
        // Fires of an interval pattern are many: only close to the change.
        let (from, until) = if is_fixed_time(&pattern.text) { (from, until) } else { (at - 3 * HOUR, at + 4 * HOUR) };
        fires += compare(name, pattern, Dst { gap, overlap }, &segments, from, until);
    }
    fires
}

fn second(text: &str) -> i64 {
    Timestamp::parse(text).unwrap().as_millis() / 1_000
}

#[test]
fn ten_years_of_every_transition_of_every_zone() {
    let database = TimeZoneDatabase::bundled();
    let (from, until) = (second("2025-01-01"), second("2035-01-01"));
    let mut seen = HashSet::new();
    let (mut zones, mut changes, mut fires) = (0, 0_i64, 0);
    for name in database.available() {
        let name = name.to_string();
        let zone = database.get(&name).unwrap();
        let stamp = jiff::Timestamp::from_second(from).unwrap();
        let list: Vec<(i64, i32)> = zone
            .following(stamp)
            .map(|change| (change.timestamp().as_second(), change.offset().seconds()))
            .take_while(|(at, _)| *at < until)
            .collect();
        zones += 1;
        // Zones that change alike are one.
        if !seen.insert((zone.to_offset(stamp).seconds(), list.clone())) {
            continue;
        }
        for (at, _) in list {
            changes += 1;
            fires += around(&name, &zone, at, changes);
        }
    }
    assert!(zones > 590 && changes > 500 && fires > 10_000, "{zones} zones, {changes} changes, {fires} fires");
}

#[test]
fn the_odd_ones_by_name() {
    let database = TimeZoneDatabase::bundled();
    for (name, from, until) in [
        // Half an hour.
        ("Australia/Lord_Howe", "2010-01-01", "2030-01-01"),
        // 2011-12-30 did not take place.
        ("Pacific/Apia", "2009-01-01", "2022-01-01"),
        // Clocks go back for Ramadan: four changes a year.
        ("Africa/Casablanca", "2012-01-01", "2026-01-01"),
        // Winter time is the exception here.
        ("Europe/Dublin", "2010-01-01", "2030-01-01"),
        // At midnight.
        ("America/Havana", "2015-01-01", "2025-01-01"),
        ("Asia/Beirut", "2015-01-01", "2025-01-01"),
        // A whole day was left out; and 1969, when one came twice.
        ("Pacific/Kwajalein", "1960-01-01", "1995-01-01"),
        // Two hours.
        ("Antarctica/Troll", "2010-01-01", "2025-01-01"),
    ] {
        let zone = database.get(name).unwrap();
        let stamp = jiff::Timestamp::from_second(second(from)).unwrap();
        let until = second(until);
        let mut salt = 0;
        for change in zone.following(stamp).take_while(|change| change.timestamp().as_second() < until) {
            for _ in 0..3 {
                salt += 1;
                around(name, &zone, change.timestamp().as_second(), salt);
            }
        }
        assert!(salt > 0, "{name} has no changes");
    }
}
