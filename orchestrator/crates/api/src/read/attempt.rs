//! Attempts.

use std::collections::BTreeSet;

use updraft_model::state::TaskRunState;
use updraft_model::time::Timestamp;
use updraft_store::history::AttemptLine;

use super::{seconds, time};
use crate::dto::{Attempt, AttemptPhase};
use crate::words::{self, Tried};

/// An attempt. `logs` holds the `dispatch_no` of those that have said something.
pub(crate) fn attempt(line: &AttemptLine, logs: &BTreeSet<u32>, now: Timestamp) -> Attempt {
    let live = line.outcome.is_none();
    // A timer's `ready_at` lies ahead: nothing has waited yet.
    let ready_at = line.ready_at.filter(|at| *at <= now || line.claimed_at.is_some());
    let until = line.claimed_at.or(line.ended_at).unwrap_or(now);
    // The store learns of a start when the attempt ends; until then, and if it never does, a claim that runs or has said
    // something counts as the start.
    let running = live && line.state == Some(TaskRunState::Running);
    let begun = line.claimed_at.filter(|_| running || logs.contains(&line.dispatch_no));
    let started_at = line.started_at.or(begun);
    Attempt {
        n: line.n,
        dispatch_no: line.dispatch_no,
        try_no: line.try_no,
        generation: line.generation,
        outcome: line.outcome.map(Into::into),
        state: line.state.filter(|_| live).map(phase),
        cause: line.cause.map(|cause| cause.name().to_owned()),
        cause_words: words::attempt(&Tried {
            outcome: line.outcome,
            cause: line.cause,
            state: line.state,
            class: line.class.as_deref(),
            message: line.message.as_deref(),
            started: started_at.is_some(),
            worker: line.worker.as_deref(),
        }),
        class: line.class.clone(),
        message: line.message.clone(),
        worker: line.worker.clone(),
        claimed_at: time(line.claimed_at),
        started_at: time(started_at),
        ended_at: time(line.ended_at),
        ready_at: time(line.ready_at),
        wait_seconds: ready_at.map(|ready_at| seconds(ready_at, until)),
        seconds: started_at.map(|started_at| seconds(started_at, line.ended_at.unwrap_or(now))),
        log: logs.contains(&line.dispatch_no),
    }
}

fn phase(state: TaskRunState) -> AttemptPhase {
    match state {
        TaskRunState::Running => AttemptPhase::Running,
        TaskRunState::RetryWait | TaskRunState::Deferred => AttemptPhase::RetryWait,
        TaskRunState::Waiting
        | TaskRunState::Ready
        | TaskRunState::Succeeded
        | TaskRunState::Failed
        | TaskRunState::Skipped
        | TaskRunState::UpstreamFailed
        | TaskRunState::Cancelled
        | TaskRunState::Removed => AttemptPhase::Ready,
    }
}
