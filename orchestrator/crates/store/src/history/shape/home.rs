//! Home.

use std::cmp::Reverse;

use updraft_model::id::{MapIndex, TaskId, TaskKey};
use updraft_model::record::shown_state;
use updraft_model::state::{Cause, Outcome, Place, RunState, Trigger};

use super::{first_line, run_lines};
use crate::StoreError;
use crate::history::home::{HomeCounts, Incident, IncidentKind, WaitingLine};
use crate::history::line::Failure;
use crate::history::tuple::Tuple;

/// Adds runs that are over: `state, count`.
pub fn over_counts(rows: &[Tuple], counts: &mut HomeCounts) -> Result<(), StoreError> {
    for row in rows {
        let count = row.count(1, "count")?;
        match row.named(0, "state", RunState::parse)? {
            RunState::Succeeded => counts.succeeded += count,
            RunState::Failed => counts.failed += count,
            RunState::Cancelled => counts.cancelled += count,
            RunState::Queued | RunState::Running | RunState::Cancelling | RunState::Broken => {}
        }
    }
    Ok(())
}

/// Adds what is as it stands: `state, count`; also `(waiting), count` and `(masked), count`.
pub fn open_counts(rows: &[Tuple], counts: &mut HomeCounts) -> Result<(), StoreError> {
    for row in rows {
        let count = row.count(1, "count")?;
        match row.text(0, "state")? {
            "(waiting)" => counts.waiting_tasks += count,
            "(masked)" => counts.masked += count,
            "queued" => counts.queued += count,
            "running" | "cancelling" => counts.running += count,
            "broken" => counts.broken += count,
            _ => {}
        }
    }
    Ok(())
}

/// Runs that went wrong: the columns of a run line, then `blocked, failing_since, failures_in_row, updated_at`.
pub fn incidents(rows: &[Tuple]) -> Result<Vec<Incident>, StoreError> {
    let lines = run_lines(rows)?;
    lines
        .into_iter()
        .zip(rows)
        .map(|(line, row)| {
            let kind = match line.state {
                RunState::Broken => IncidentKind::RunBroken,
                RunState::Succeeded => IncidentKind::MaskedFailure,
                RunState::Failed
                | RunState::Cancelled
                | RunState::Queued
                | RunState::Running
                | RunState::Cancelling => IncidentKind::RunFailed,
            };
            let updated_at = row.at(29, "updated_at")?;
            Ok(Incident {
                kind,
                at: line.ended_at.unwrap_or(updated_at),
                run_id: line.run_id,
                workflow: line.workflow,
                run_state: line.state,
                trigger: line.trigger,
                logical_at: line.logical_at,
                failure: line.failure,
                cause: line.cause,
                blocked: row.count(26, "blocked")?,
                worker: None,
                failing_since: row.opt_at(27, "failing_since")?,
                failures_in_row: row.count(28, "failures_in_row")?,
            })
        })
        .collect()
}

/// Attempts that were lost: `run_id, workflow, state, trigger, logical_at, task_id, map_index, n, attempts, cause, ended_at,
/// worker, message, class`.
pub fn lost(rows: &[Tuple]) -> Result<Vec<Incident>, StoreError> {
    rows.iter()
        .map(|row| {
            let cause = row.named(9, "cause", Cause::parse)?;
            Ok(Incident {
                kind: IncidentKind::WorkerLost,
                at: row.at(10, "ended_at")?,
                run_id: row.run(0, "run_id")?,
                workflow: row.opt_string(1, "workflow")?.unwrap_or_default(),
                run_state: row.named(2, "state", RunState::parse)?,
                trigger: row.named(3, "trigger", Trigger::parse)?,
                logical_at: row.at(4, "logical_at")?,
                failure: Some(Failure {
                    key: TaskKey {
                        task: TaskId::from(row.text(5, "task_id")?),
                        map_index: MapIndex(i32::try_from(row.int(6, "map_index")?).unwrap_or(-1)),
                    },
                    attempt: row.count(7, "n")?,
                    attempts: row.count(8, "attempts")?,
                    cause,
                    class: row.opt_string(13, "class")?,
                    line: row.opt_text(12, "message")?.and_then(first_line).map(str::to_owned),
                }),
                cause: Some(cause),
                blocked: 0,
                worker: row.opt_string(11, "worker")?,
                failing_since: None,
                failures_in_row: 0,
            })
        })
        .collect()
}

/// Newest first, at most so many.
pub fn incident_order(mut incidents: Vec<Incident>, limit: u32) -> Vec<Incident> {
    incidents.sort_by_key(|incident| (Reverse(incident.at), incident.run_id, incident.kind));
    incidents.truncate(limit as usize);
    incidents
}

/// What waits: `run_id, workflow, task_id, map_index, place, since, due_at, queue, dispatch_no, outcome of the attempt before`;
/// a queued run has no task.
pub fn waiting(rows: &[Tuple], limit: u32) -> Result<Vec<WaitingLine>, StoreError> {
    let mut lines: Vec<WaitingLine> = rows
        .iter()
        .map(|row| {
            let key = if row.opt_text(2, "task_id")?.is_some() { Some(row.key(2)?) } else { None };
            let deferred = row.opt_named(9, "outcome", Outcome::parse)? == Some(Outcome::Deferred);
            let place = row.opt_named(4, "place", Place::parse)?;
            Ok(WaitingLine {
                run_id: row.run(0, "run_id")?,
                workflow: row.opt_string(1, "workflow")?.unwrap_or_default(),
                key,
                state: place.map(|place| shown_state(None, Some((place, deferred)))),
                since: row.at(5, "since")?,
                due_at: row.opt_at(6, "due_at")?,
                queue: row.text(7, "queue")?.to_owned(),
                dispatch_no: row.count(8, "dispatch_no")?,
            })
        })
        .collect::<Result<_, StoreError>>()?;
    lines.sort_by(|a, b| (a.since, a.run_id, &a.key).cmp(&(b.since, b.run_id, &b.key)));
    lines.truncate(limit as usize);
    Ok(lines)
}
