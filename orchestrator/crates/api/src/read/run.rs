//! Runs.

use std::collections::BTreeSet;

use updraft_model::id::TaskKey;
use updraft_model::record::TaskRunRow;
use updraft_model::state::{Cause, FinalState, RunState};
use updraft_model::time::{DataInterval, Timestamp};
use updraft_store::history::{Failure, RunLine};
use updraft_store::read::RunDetail;

use super::{index, of_millis, seconds, time};
use crate::dto::{self, FailureLine, RunSummary, Time};
use crate::words::{self, Told};

/// A run as a row of a list.
pub(crate) fn summary(line: &RunLine, now: Timestamp) -> RunSummary {
    RunSummary {
        id: line.run_id.0,
        workflow: line.workflow.clone(),
        state: line.state.into(),
        cause: line.cause.map(|cause| cause.name().to_owned()),
        trigger: line.trigger.into(),
        logical_date: Time(line.logical_at),
        data_interval: interval(line.interval),
        created_at: Time(line.created_at),
        started_at: time(line.started_at),
        ended_at: time(line.ended_at),
        seconds: ran(line.started_at, line.ended_at, now),
        wait_seconds: Some(waited(line.created_at, line.started_at, line.ended_at, now)),
        version: u64::from(line.version_no),
        generation: line.generation,
        by: line.by.clone(),
        note: line.note.clone(),
        masked: line.masked(),
        attempts_extra: line.attempts_extra,
        failure: failure_of(line),
        usual_seconds: line.usual_ms.map(of_millis),
        tasks_done: line.tasks_done,
        tasks_total: line.tasks_total,
    }
}

pub(crate) fn interval(of: DataInterval) -> dto::DataInterval {
    dto::DataInterval { start: Time(of.start), end: Time(of.end) }
}

/// From start to end, or to now.
pub(crate) fn ran(started_at: Option<Timestamp>, ended_at: Option<Timestamp>, now: Timestamp) -> Option<f64> {
    started_at.map(|started_at| seconds(started_at, ended_at.unwrap_or(now)))
}

/// From creation to start, or to now; a run that ended without having started waited until then.
pub(crate) fn waited(
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    now: Timestamp,
) -> f64 {
    seconds(created_at, started_at.or(ended_at).unwrap_or(now))
}

/// The first failure; of a failed run always something.
fn failure_of(line: &RunLine) -> Option<FailureLine> {
    let told = line.failure.as_ref().map(failure);
    match (told, line.state) {
        (Some(told), _) => Some(told),
        (None, RunState::Failed) => {
            let cause = line.cause.unwrap_or(Cause::TaskFailed);
            Some(FailureLine {
                task: String::new(),
                map_index: None,
                attempt: 0,
                attempts: 0,
                class: Some(cause.name().to_owned()),
                line: cause.in_words().to_owned(),
            })
        }
        (
            None,
            RunState::Queued
            | RunState::Running
            | RunState::Cancelling
            | RunState::Succeeded
            | RunState::Cancelled
            | RunState::Broken,
        ) => None,
    }
}

/// A failure in one line.
pub(crate) fn failure(of: &Failure) -> FailureLine {
    let line = of.line.as_deref().map(|line| words::first_line(line, words::LINE)).filter(|line| !line.is_empty());
    FailureLine {
        task: of.key.task.to_string(),
        map_index: index(&of.key),
        attempt: of.attempt,
        attempts: of.attempts,
        class: of.class.clone(),
        line: line.unwrap_or_else(|| of.cause.in_words().to_owned()),
    }
}

/// What happened, in one sentence.
pub(crate) fn sentence(line: &RunLine, detail: &RunDetail, now: Timestamp) -> String {
    let failure = failure_of(line);
    words::sentence(&Told {
        state: line.state,
        cause: line.cause,
        created_at: line.created_at,
        started_at: line.started_at,
        ended_at: line.ended_at,
        now,
        failure: failure.as_ref(),
        blocked: blocked(detail),
        done: line.tasks_done,
        total: line.tasks_total,
        usual: line.usual_ms.and_then(|millis| u64::try_from(millis).ok()).map(std::time::Duration::from_millis),
    })
}

/// Task runs that did not run because an upstream failed.
pub(crate) fn blocked(detail: &RunDetail) -> u32 {
    let blocked = detail.task_runs.iter().filter(|row| row.state == FinalState::UpstreamFailed).count();
    u32::try_from(blocked).unwrap_or(u32::MAX)
}

/// What a retry of what failed would take: what failed or was stopped, and what did not run because of it.
pub(crate) fn retryable(detail: &RunDetail) -> Vec<&TaskKey> {
    let wrong = |state: FinalState| match state {
        FinalState::Failed | FinalState::UpstreamFailed | FinalState::Cancelled => true,
        FinalState::Succeeded | FinalState::Skipped | FinalState::Removed => false,
    };
    let rows: Vec<_> = detail.task_runs.iter().filter(|row| wrong(row.state)).collect();
    // A mapped task stands for its instances only where none of them went wrong.
    let instances: BTreeSet<_> = rows.iter().filter(|row| index(&row.key).is_some()).map(|row| &row.key.task).collect();
    let counts = |row: &&&TaskRunRow| row.expanded_n.is_none() || !instances.contains(&row.key.task);
    rows.iter().filter(counts).map(|row| &row.key).collect()
}
