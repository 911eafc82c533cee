//! Rules that look back: what another rule of the same task observed in earlier intervals, read from the lake's table of results.
//!
//! Only intervals that end before the run's own does are looked at, so that a re-run of an old interval is judged as its first run was.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, Days, NaiveDateTime, Timelike, Utc};
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::Float64Type;
use futures::{StreamExt as _, TryStreamExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{Context, Lake, TaskError};

use super::groups::Group;
use super::measure::Prepared;
use super::rule::Rule;
use super::store;
use crate::parquet;

/// Results that are read at a time.
const AT_ONCE: usize = 8;

/// What is made of the number now and the earlier ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// The number divided by the median of the earlier ones.
    #[default]
    MedianRatio,
    /// The number minus the median of the earlier ones.
    MedianDifference,
    /// How many of the newest earlier numbers in a row are the same.
    Repeats,
    /// How many of the newest earlier numbers in a row are the same or greater.
    NotGreater,
}

/// Which earlier intervals count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Same {
    /// All.
    #[default]
    Any,
    /// Those of the same hour of the day (UTC).
    Hour,
    /// Those of the same hour of the same day of the week (UTC).
    WeekdayHour,
}

/// What a rule looks back at.
struct Window {
    same: Same,
    last: usize,
    days: u32,
    least: usize,
}

/// A rule's question, and the rule whose results answer it.
fn question(rule: &Rule) -> Option<(&str, Compare, Window)> {
    let Rule::History { of, compare, same, last, days, min_history, .. } = rule else { return None };
    let default = if matches!(compare, Compare::Repeats | Compare::NotGreater) { 1 } else { 3 };
    let least = min_history.unwrap_or(default).max(1) as usize;
    Some((of, *compare, Window { same: *same, last: *last as usize, days: *days, least }))
}

/// Checks that each such rule looks at a rule that is there, has one number, and is judged on the same rows.
///
/// # Errors
/// `fail`, class `BadRule`, with all that do not.
pub(super) fn check(rules: &[Rule]) -> Result<(), TaskError> {
    let mut mistakes = Vec::new();
    for rule in rules {
        let Some((of, _, window)) = question(rule) else { continue };
        let reason = match rules.iter().filter(|other| other.name() == of).collect::<Vec<_>>()[..] {
            [] => "there is no such rule in this task".to_owned(),
            [other] if question(other).is_some() => "that looks back itself".to_owned(),
            [other] if other.columns().len() != 1 => "that has several columns, so several numbers".to_owned(),
            [other] if other.common().per != rule.common().per => {
                "that is judged on other rows: `per` differs".to_owned()
            }
            [other] if other.common().regions != rule.common().regions => {
                "that is judged on other rows: `regions` differ".to_owned()
            }
            [_] if window.last < window.least => {
                format!("`last` is less than `min_history`, which is {}", window.least)
            }
            [_] => continue,
            [..] => "several rules have that name".to_owned(),
        };
        mistakes.push(format!("rule `{}`: `of: {of}`: {reason}", rule.name()));
    }
    if mistakes.is_empty() { Ok(()) } else { Err(TaskError::fail("BadRule", mistakes.join("\n"))) }
}

/// Earlier results, each file read once.
pub(super) struct History<'a> {
    ctx: &'a Context,
    lake: &'a Lake,
    table: &'a str,
    /// Keys of the files of a day, by the end of their interval.
    days: BTreeMap<String, BTreeMap<DateTime<Utc>, String>>,
    /// Region, rule, number.
    files: BTreeMap<String, Vec<(String, String, f64)>>,
}

impl<'a> History<'a> {
    pub(super) fn new(ctx: &'a Context, lake: &'a Lake, table: &'a str) -> Self {
        Self { ctx, lake, table, days: BTreeMap::new(), files: BTreeMap::new() }
    }

    /// Observes the rules that look back, once all others have observed.
    pub(super) async fn observe(
        &mut self,
        rules: &[&Prepared<'_>],
        group: &Group,
        observed: &mut [Vec<Option<f64>>],
    ) -> Result<(), TaskError> {
        for (place, rule) in rules.iter().enumerate() {
            let Some((of, compare, window)) = question(rule.rule) else { continue };
            let at = rules.iter().position(|other| other.rule.name() == of);
            let now = at.and_then(|at| observed[at].first().copied().flatten());
            let earlier = self.earlier(&group.name, of, &window).await?;
            let value = if earlier.len() < window.least {
                let found = earlier.len();
                self.ctx.info(format!(
                    "{}/{}: {found} of {} earlier results are there, too few to judge",
                    group.name,
                    rule.rule.name(),
                    window.least
                ));
                None
            } else {
                now.and_then(|now| compared(compare, now, &earlier))
            };
            observed[place] = vec![value];
        }
        Ok(())
    }

    /// Numbers of a rule in earlier intervals, the newest first.
    async fn earlier(&mut self, region: &str, of: &str, window: &Window) -> Result<Vec<f64>, TaskError> {
        let end = self.ctx.run().interval.end.to_datetime();
        let mut found = Vec::new();
        for back in 0..=u64::from(window.days) {
            let Some(day) = end.date_naive().checked_sub_days(Days::new(back)) else { break };
            // The hour before midnight ends on the next day.
            let keys: Vec<String> = self
                .of_day(&day.format("%Y-%m-%d").to_string())
                .await?
                .iter()
                .rev()
                .filter(|(at, _)| **at < end && window.takes(**at, end))
                .map(|(_, key)| key.clone())
                .collect();
            for keys in keys.chunks(window.last.saturating_sub(found.len()).max(1)) {
                self.read(keys).await?;
                let rows = keys.iter().filter_map(|key| self.files.get(key)).flatten();
                found.extend(rows.filter(|(of_region, name, _)| of_region == region && name == of).map(|row| row.2));
                if found.len() >= window.last {
                    found.truncate(window.last);
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// This task's files of a day.
    async fn of_day(&mut self, day: &str) -> Result<&BTreeMap<DateTime<Utc>, String>, TaskError> {
        if !self.days.contains_key(day) {
            let folder = store::folder(self.table, day);
            let (before, after) = store::around_interval(self.ctx);
            let files = self.lake.list(&folder).await?.into_iter().filter_map(|(key, _)| {
                let name = key.strip_prefix(&folder)?.trim_start_matches('/');
                let (_, end) = name.strip_prefix(&before)?.strip_suffix(&after)?.split_once('_')?;
                Some((NaiveDateTime::parse_from_str(end, "%Y%m%dT%H%M%S%.fZ").ok()?.and_utc(), key))
            });
            let files = files.collect();
            self.days.insert(day.to_owned(), files);
        }
        Ok(&self.days[day])
    }

    async fn read(&mut self, keys: &[String]) -> Result<(), TaskError> {
        let missing: BTreeSet<String> = keys.iter().filter(|key| !self.files.contains_key(*key)).cloned().collect();
        let lake = self.lake;
        let read: Vec<(String, Vec<_>)> = futures::stream::iter(missing)
            .map(|key| async move {
                let found = numbers(lake, &key).await?;
                Ok::<_, TaskError>((key, found))
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        self.files.extend(read);
        Ok(())
    }
}

impl Window {
    /// By the hour that an interval's last moment is in.
    fn takes(&self, at: DateTime<Utc>, end: DateTime<Utc>) -> bool {
        let moment = |at: DateTime<Utc>| at - chrono::TimeDelta::milliseconds(1);
        let (at, end) = (moment(at), moment(end));
        match self.same {
            Same::Any => true,
            Same::Hour => at.hour() == end.hour(),
            Same::WeekdayHour => at.hour() == end.hour() && at.weekday() == end.weekday(),
        }
    }
}

/// What was observed, of a file of results; rules that had nothing to observe are left out.
async fn numbers(lake: &Lake, key: &str) -> Result<Vec<(String, String, f64)>, TaskError> {
    let (_, batches) = parquet::decode(lake.get(key).await?)?;
    let mut found = Vec::new();
    for batch in batches {
        let text = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        let observed = batch.column_by_name("observed").and_then(|column| column.as_primitive_opt::<Float64Type>());
        let (Some(regions), Some(names), Some(observed)) = (text("region"), text("check_name"), observed) else {
            return Err(TaskError::fail("BadParquet", format!("`{key}` is no file of quality results")));
        };
        found.extend(
            (0..batch.num_rows())
                .filter(|row| observed.is_valid(*row))
                .map(|row| (regions.value(row).to_owned(), names.value(row).to_owned(), observed.value(row))),
        );
    }
    Ok(found)
}

/// `earlier` begins with the newest. `None` for a ratio to nothing.
#[expect(clippy::cast_precision_loss, reason = "counts of results are small")]
#[expect(clippy::float_cmp, reason = "the same number, not one that is near")]
fn compared(compare: Compare, now: f64, earlier: &[f64]) -> Option<f64> {
    match compare {
        Compare::MedianRatio => Some(now / median(earlier)?).filter(|ratio| ratio.is_finite()),
        Compare::MedianDifference => Some(now - median(earlier)?),
        Compare::Repeats => Some(earlier.iter().take_while(|value| **value == now).count() as f64),
        Compare::NotGreater => Some(earlier.iter().take_while(|value| **value >= now).count() as f64),
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[middle - 1], upper) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_with_the_earlier_ones() {
        for (compare, now, earlier, expected) in [
            (Compare::MedianRatio, 50.0, &[100.0, 10.0, 1_000.0][..], Some(0.5)),
            (Compare::MedianRatio, 50.0, &[100.0, 300.0], Some(0.25)),
            (Compare::MedianRatio, 50.0, &[0.0, 0.0, 0.0], None),
            (Compare::MedianDifference, 0.4, &[0.1, 0.1, 0.9], Some(0.3)),
            (Compare::Repeats, 7.0, &[7.0, 7.0, 6.0, 7.0], Some(2.0)),
            (Compare::Repeats, 7.0, &[6.0, 7.0], Some(0.0)),
            (Compare::NotGreater, 7.0, &[7.0, 9.0, 6.0], Some(2.0)),
            (Compare::NotGreater, 7.0, &[6.0], Some(0.0)),
        ] {
            let found = compared(compare, now, earlier);
            let near = found.zip(expected).map_or(found == expected, |(a, b)| (a - b).abs() < 1e-9);
            assert!(near, "{compare:?} {now} {earlier:?}: {found:?}");
        }
    }

    #[test]
    fn hours_are_those_of_an_intervals_last_moment() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let window = |same| Window { same, last: 9, days: 9, least: 1 };
        let end = at("2026-01-08T10:00:00Z");
        for (earlier, hour, weekday) in [
            ("2026-01-01T10:00:00Z", true, true),
            ("2026-01-01T09:10:00Z", true, true),
            ("2026-01-01T09:00:00Z", false, false),
            ("2026-01-01T10:10:00Z", false, false),
            ("2026-01-07T10:00:00Z", true, false),
        ] {
            assert_eq!(window(Same::Hour).takes(at(earlier), end), hour, "{earlier}");
            assert_eq!(window(Same::WeekdayHour).takes(at(earlier), end), weekday, "{earlier}");
        }
    }
}
