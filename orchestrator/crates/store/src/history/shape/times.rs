//! How long things take, and when they happened.

use std::collections::{BTreeMap, HashMap};

use updraft_model::record::shown_state;
use updraft_model::state::{FinalState, Place, RunState, Trigger};
use updraft_model::time::Timestamp;

use super::{bad, fields, number, spread};
use crate::StoreError;
use crate::history::ask::Shift;
use crate::history::facts::VersionFacts;
use crate::history::tuple::Tuple;
use crate::history::{Day, DurationPoint, Durations, TaskDurations, TaskHistory, Usual, UsualTask};

/// A task run as `task_runs` says it: task, map index, state, `dispatch_no`, started, ended, wait of the attempt that decided it.
struct Took<'a> {
    task: &'a str,
    state: FinalState,
    dispatch_no: u32,
    started_at: Option<i64>,
    ended_at: i64,
    wait_ms: Option<i64>,
}

fn took(text: &str) -> impl Iterator<Item = Result<Took<'_>, StoreError>> {
    text.lines().filter_map(|line| {
        let mut part = fields(line);
        let task = part.next().unwrap_or_default();
        let _index = part.next();
        let state = FinalState::parse(part.next()?)?;
        let dispatch_no = number(part.next()).and_then(|no| u32::try_from(no).ok()).unwrap_or(0);
        let (started_at, ended_at, wait_ms) = (number(part.next()), number(part.next()), number(part.next()));
        Some(ended_at.ok_or_else(|| bad("task_runs", line)).map(|ended_at| Took {
            task,
            state,
            dispatch_no,
            started_at,
            ended_at,
            wait_ms,
        }))
    })
}

fn order<'a>(names: impl Iterator<Item = &'a str>, facts: &VersionFacts) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_by_key(|name| (facts.position(name).unwrap_or(usize::MAX), *name));
    names
}

/// Runs, newest first: `run_id, created_at, started_at, ended_at, state, trigger, logical_at, number, task_runs`. The last
/// one: a line a task run that is over: task, map index, state, `dispatch_no`, started, ended, wait in ms; tabs between.
pub fn durations(rows: &[Tuple], facts: &VersionFacts) -> Result<Durations, StoreError> {
    struct Of {
        body: Vec<i64>,
        wait: Vec<i64>,
        retries: u32,
        failures: u32,
        runs: u32,
    }
    let mut tasks: HashMap<&str, Of> = HashMap::new();
    let mut points = Vec::with_capacity(rows.len());
    let mut whole = Vec::new();
    for row in rows {
        let point = DurationPoint {
            run_id: row.run(0, "run_id")?,
            created_at: row.at(1, "created_at")?,
            started_at: row.opt_at(2, "started_at")?,
            ended_at: row.opt_at(3, "ended_at")?,
            state: row.named(4, "state", RunState::parse)?,
            trigger: row.named(5, "trigger", Trigger::parse)?,
            logical_at: row.at(6, "logical_at")?,
            version_no: row.count(7, "number")?,
        };
        if point.state == RunState::Succeeded
            && let (Some(start), Some(end)) = (point.started_at, point.ended_at)
        {
            whole.push(end.as_millis() - start.as_millis());
        }
        points.push(point);
        for one in took(row.opt_text(8, "task_runs")?.unwrap_or_default()) {
            let one = one?;
            // A mapped task itself: its instances tell of it.
            if one.dispatch_no == 0 && one.started_at.is_some() {
                continue;
            }
            let of = tasks.entry(one.task).or_insert_with(|| Of {
                body: Vec::new(),
                wait: Vec::new(),
                retries: 0,
                failures: 0,
                runs: 0,
            });
            of.runs += 1;
            of.retries += one.dispatch_no.saturating_sub(1);
            of.failures += u32::from(one.state == FinalState::Failed);
            of.wait.extend(one.wait_ms.map(|wait| wait.max(0)));
            if one.state == FinalState::Succeeded {
                of.body.extend(one.started_at.map(|start| one.ended_at - start));
            }
        }
    }
    points.reverse();
    let names = order(tasks.keys().copied(), facts);
    let tasks = names
        .into_iter()
        .filter_map(|name| {
            let of = tasks.remove(name)?;
            Some(TaskDurations {
                task: name.to_owned(),
                seconds: spread(of.body),
                wait: spread(of.wait),
                retries: of.retries,
                failures: of.failures,
                runs: of.runs,
            })
        })
        .collect();
    Ok(Durations { points, run: spread(whole), tasks })
}

/// Succeeded runs: `started_at, ended_at, task_runs`, the last one as in [`durations`].
pub fn usual(rows: &[Tuple]) -> Result<Usual, StoreError> {
    let mut whole = Vec::new();
    let mut tasks: BTreeMap<&str, (Vec<i64>, Vec<i64>)> = BTreeMap::new();
    for row in rows {
        let (Some(start), Some(end)) = (row.opt_int(0, "started_at")?, row.opt_int(1, "ended_at")?) else { continue };
        whole.push(end - start);
        let mut spans: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for one in took(row.opt_text(2, "task_runs")?.unwrap_or_default()) {
            let one = one?;
            let Some(begun) = one.started_at else { continue };
            let span = spans.entry(one.task).or_insert((begun, one.ended_at));
            *span = (span.0.min(begun), span.1.max(one.ended_at));
        }
        for (task, (begun, ended)) in spans {
            let (starts, lengths) = tasks.entry(task).or_default();
            starts.push((begun - start).max(0));
            lengths.push(ended - begun);
        }
    }
    let tasks = tasks
        .into_iter()
        .filter_map(|(task, (starts, lengths))| {
            Some(UsualTask { task: task.to_owned(), start_ms: spread(starts)?.median, run_ms: spread(lengths)?.median })
        })
        .collect();
    Ok(Usual { runs: u32::try_from(rows.len()).unwrap_or(u32::MAX), run: spread(whole), tasks })
}

/// Cuts `[from, until)` into spans of one UTC offset each: from, until, offset in milliseconds. Without shifts: UTC.
pub fn spans(from: Timestamp, until: Timestamp, shifts: &[Shift]) -> Vec<(Timestamp, Timestamp, i64)> {
    let mut shifts = shifts.to_vec();
    shifts.sort_unstable_by_key(|shift| shift.from);
    let mut spans = Vec::with_capacity(shifts.len() + 1);
    let mut begin = from;
    let mut offset = shifts.first().map_or(0, |shift| shift.offset_seconds);
    for shift in shifts {
        if shift.from > begin && begin < until {
            let end = shift.from.min(until);
            spans.push((begin, end, i64::from(offset) * 1000));
            begin = end;
        }
        offset = shift.offset_seconds;
    }
    if begin < until {
        spans.push((begin, until, i64::from(offset) * 1000));
    }
    spans
}

/// Days: `day, state, count`, a day any number of times.
pub fn days(rows: &[Tuple]) -> Result<Vec<Day>, StoreError> {
    let mut days: BTreeMap<i32, Day> = BTreeMap::new();
    for row in rows {
        let number = row.int(0, "day")?;
        let day = i32::try_from(number).map_err(|_| bad("day", &number.to_string()))?;
        let count = row.count(2, "count")?;
        let one = days.entry(day).or_insert(Day { day, succeeded: 0, failed: 0, other: 0 });
        match row.named(1, "state", RunState::parse)? {
            RunState::Succeeded => one.succeeded += count,
            RunState::Failed => one.failed += count,
            RunState::Cancelled | RunState::Queued | RunState::Running | RunState::Cancelling | RunState::Broken => {
                one.other += count;
            }
        }
    }
    Ok(days.into_values().collect())
}

/// Task runs of one task, newest run first: `run_id, logical_at, run state, state, started_at, ended_at, dispatch_no, place,
/// work's dispatch_no, claimed_at, deferred`.
pub fn task_history(rows: &[Tuple]) -> Result<Vec<TaskHistory>, StoreError> {
    rows.iter()
        .map(|row| {
            // A row that is no final state is one of a task run that is open again.
            let done = row.opt_text(3, "state")?.and_then(FinalState::parse);
            let place = row.opt_named(7, "place", Place::parse)?;
            let executing = place == Some(Place::Executing);
            let claimed: Option<Timestamp> = row.opt_at(9, "claimed_at")?.filter(|_| executing);
            Ok(TaskHistory {
                run_id: row.run(0, "run_id")?,
                logical_at: row.at(1, "logical_at")?,
                run_state: row.named(2, "run_state", RunState::parse)?,
                state: shown_state(done, place.map(|place| (place, row.flag(10, "deferred").unwrap_or(false)))),
                started_at: if place.is_some() { claimed } else { row.opt_at(4, "started_at")? },
                ended_at: if place.is_some() { None } else { row.opt_at(5, "ended_at")? },
                attempts: match place {
                    Some(_) => row.count(8, "dispatch_no")?.saturating_sub(u32::from(!executing)),
                    None => row.count(6, "dispatch_no")?,
                },
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_is_cut_at_its_transitions() {
        let at = Timestamp::from_millis;
        let shift = |from, offset_seconds| Shift { from: at(from), offset_seconds };
        assert_eq!(spans(at(0), at(10), &[]), [(at(0), at(10), 0)]);
        let shifts = [shift(-5, 3600), shift(4, 7200), shift(8, 3600), shift(20, 7200)];
        let expected = [(at(0), at(4), 3_600_000), (at(4), at(8), 7_200_000), (at(8), at(10), 3_600_000)];
        assert_eq!(spans(at(0), at(10), &shifts), expected);
        // The first offset holds before its instant too.
        assert_eq!(spans(at(0), at(3), &[shift(5, 60)]), [(at(0), at(3), 60_000)]);
        assert!(spans(at(5), at(5), &shifts).is_empty());
    }
}
