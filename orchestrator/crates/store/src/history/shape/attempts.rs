//! Attempts and what they recorded.

use updraft_model::id::{TaskKey, WorkerNo};
use updraft_model::record::{RunMetric, TaskItem, shown_state};
use updraft_model::state::{Cause, Outcome, Place};

use crate::StoreError;
use crate::history::AttemptLine;
use crate::history::tuple::Tuple;

/// Attempts, by key and `dispatch_no`: `task_id, map_index, dispatch_no, try_no, generation, attempt_id, outcome, place, cause,
/// class, message, worker_no, worker, ready_at, claimed_at, started_at, ended_at, output_bytes`. Those under way have a place.
pub fn attempts(rows: &[Tuple]) -> Result<Vec<AttemptLine>, StoreError> {
    let mut lines: Vec<AttemptLine> = Vec::with_capacity(rows.len());
    for row in rows {
        let key: TaskKey = row.key(0)?;
        let before = lines.last().filter(|before| before.key == key);
        let deferred = before.is_some_and(|before| before.outcome == Some(Outcome::Deferred));
        let n = before.map_or(1, |before| before.n + 1);
        let place = row.opt_named(7, "place", Place::parse)?;
        lines.push(AttemptLine {
            n,
            dispatch_no: row.count(2, "dispatch_no")?,
            try_no: row.count(3, "try_no")?,
            generation: row.count(4, "generation")?,
            attempt_id: row.opt_id(5, "attempt_id")?.map(|id| id.to_string()),
            outcome: row.opt_named(6, "outcome", Outcome::parse)?,
            state: place.map(|place| shown_state(None, Some((place, deferred)))),
            cause: row.opt_named(8, "cause", Cause::parse)?,
            class: row.opt_string(9, "class")?,
            message: row.opt_string(10, "message")?,
            worker_no: row.opt_int(11, "worker_no")?.map(WorkerNo),
            worker: row.opt_string(12, "worker")?,
            ready_at: row.opt_at(13, "ready_at")?,
            claimed_at: row.opt_at(14, "claimed_at")?,
            started_at: row.opt_at(15, "started_at")?,
            ended_at: row.opt_at(16, "ended_at")?,
            output_bytes: row.opt_int(17, "output_bytes")?.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
            key,
        });
    }
    Ok(lines)
}

/// Items: `dispatch_no, kind, name, state, seconds, value, message`.
pub fn items(rows: &[Tuple]) -> Result<Vec<(u32, TaskItem)>, StoreError> {
    rows.iter()
        .map(|row| {
            let item = TaskItem {
                kind: row.text(1, "kind")?.to_owned(),
                name: row.text(2, "name")?.to_owned(),
                state: row.text(3, "state")?.to_owned(),
                seconds: row.opt_real(4, "seconds")?,
                value: row.opt_real(5, "value")?,
                message: row.opt_string(6, "message")?,
            };
            Ok((row.count(0, "dispatch_no")?, item))
        })
        .collect()
}

/// Measures: `name, value, unit, labels`.
pub fn metrics(rows: &[Tuple]) -> Result<Vec<RunMetric>, StoreError> {
    rows.iter()
        .map(|row| {
            Ok(RunMetric {
                name: row.text(0, "name")?.to_owned(),
                value: row.opt_real(1, "value")?.unwrap_or_default(),
                unit: row.text(2, "unit")?.to_owned(),
                labels: row.opt_json(3, "labels")?.unwrap_or_default(),
            })
        })
        .collect()
}
