//! Incidents and what waits, for the first page.

use updraft_model::state::{Cause, TaskRunState};
use updraft_store::history::{Incident as Happened, IncidentKind as Kind, WaitingLine};

use super::index;
use super::run::failure;
use crate::dto::{Incident, IncidentKind, IncidentRetry, Reason, ReasonKind, Time, WaitState, WaitingTask};
use crate::words::{self, count};

/// Something that went wrong.
pub(crate) fn incident(of: &Happened) -> Incident {
    let told = of.failure.as_ref().map(failure);
    let because = of.failure.as_ref().map(|failure| failure.cause).or(of.cause);
    let kind = match of.kind {
        Kind::RunFailed => IncidentKind::RunFailed,
        Kind::MaskedFailure => IncidentKind::MaskedFailure,
        Kind::RunBroken => IncidentKind::RunBroken,
        Kind::WorkerLost => IncidentKind::WorkerLost,
    };
    let retryable = 1 + of.blocked;
    let retry = match of.kind {
        Kind::RunFailed => {
            Some(IncidentRetry { label: format!("Re-run {}", count(retryable, "task")), tasks: retryable })
        }
        Kind::MaskedFailure => Some(IncidentRetry { label: "Re-run 1 task".to_owned(), tasks: 1 }),
        Kind::RunBroken | Kind::WorkerLost => None,
    };
    let cause = match (of.kind, because) {
        (Kind::WorkerLost, _) => {
            format!("the worker {} died while it ran this", of.worker.as_deref().unwrap_or("that ran it"))
        }
        (Kind::RunBroken, _) => "this build cannot take the run further".to_owned(),
        // The error itself says more than the cause does.
        (Kind::RunFailed | Kind::MaskedFailure, Some(Cause::Task | Cause::TaskFailed) | None) => {
            told.as_ref().map_or_else(|| Cause::TaskFailed.in_words().to_owned(), |told| told.line.clone())
        }
        (Kind::RunFailed | Kind::MaskedFailure, Some(cause)) => cause.in_words().to_owned(),
    };
    let name = match kind {
        IncidentKind::RunFailed => "run_failed",
        IncidentKind::MaskedFailure => "masked_failure",
        IncidentKind::RunBroken => "run_broken",
        IncidentKind::WorkerLost => "worker_lost",
        IncidentKind::Late => "late",
        IncidentKind::FileBroken => "file_broken",
        IncidentKind::FiresSkipped => "fires_skipped",
    };
    Incident {
        id: format!("{name}:{}:{}", of.run_id, of.failure.as_ref().map(|one| one.key.to_string()).unwrap_or_default()),
        kind,
        workflow: of.workflow.clone(),
        run: Some(of.run_id.0),
        task: told.as_ref().map(|told| told.task.clone()),
        map_index: of.failure.as_ref().and_then(|failure| index(&failure.key)),
        at: Time(of.at),
        attempt: told.as_ref().map(|told| told.attempt).filter(|attempt| *attempt > 0),
        attempts: told.as_ref().map(|told| told.attempts).filter(|attempts| *attempts > 0),
        cause,
        error_class: told.as_ref().and_then(|told| told.class.clone()),
        line: told.map(|told| told.line),
        log_line: None,
        blocked: of.blocked,
        trigger: Some(of.trigger.into()),
        logical_date: Some(Time(of.logical_at)),
        since: of.failing_since.map(Time),
        failures_in_row: (of.failures_in_row > 0).then_some(of.failures_in_row),
        retry,
    }
}

/// An incident that is not about a run.
pub(crate) fn other(kind: IncidentKind, id: String, workflow: String, at: Time, cause: String) -> Incident {
    Incident {
        id,
        kind,
        workflow,
        run: None,
        task: None,
        map_index: None,
        at,
        attempt: None,
        attempts: None,
        cause,
        error_class: None,
        line: None,
        log_line: None,
        blocked: 0,
        trigger: None,
        logical_date: None,
        since: None,
        failures_in_row: None,
        retry: None,
    }
}

/// Something that waits; `reason` is what is known beyond its place.
pub(crate) fn waiting(of: &WaitingLine, reason: Option<Reason>, now: updraft_model::time::Timestamp) -> WaitingTask {
    let state = match of.state {
        None => WaitState::Queued,
        Some(TaskRunState::RetryWait) => WaitState::RetryWait,
        Some(TaskRunState::Deferred) => WaitState::Deferred,
        Some(TaskRunState::Ready) => WaitState::Ready,
        Some(
            TaskRunState::Waiting
            | TaskRunState::Running
            | TaskRunState::Succeeded
            | TaskRunState::Failed
            | TaskRunState::Skipped
            | TaskRunState::UpstreamFailed
            | TaskRunState::Cancelled
            | TaskRunState::Removed,
        ) => WaitState::Waiting,
    };
    let since = words::span(now.since(of.since));
    let plain = |kind, text| Reason {
        kind,
        text,
        holders: Vec::new(),
        position: None,
        of: None,
        until: of.due_at.map(Time),
        usual_seconds: None,
    };
    let reason = reason.unwrap_or_else(|| match state {
        WaitState::Queued => plain(ReasonKind::MaxActiveRuns, format!("waits {since} for a run slot of its workflow")),
        WaitState::RetryWait => match of.due_at {
            Some(due) if due > now => {
                plain(ReasonKind::Retry, format!("waits {} more for its next try", words::span(due.since(now))))
            }
            Some(_) | None => plain(ReasonKind::Retry, "its next try is due".to_owned()),
        },
        WaitState::Deferred => plain(ReasonKind::Deferred, "waits, as the task asked".to_owned()),
        WaitState::Ready => plain(ReasonKind::Slots, format!("waits {since} for a worker of queue `{}`", of.queue)),
        WaitState::Waiting => plain(ReasonKind::Upstream, "waits for an upstream task".to_owned()),
    });
    WaitingTask {
        workflow: of.workflow.clone(),
        run: Some(of.run_id.0),
        task: of.key.as_ref().map(|key| key.task.to_string()),
        map_index: of.key.as_ref().and_then(index),
        state,
        since: Time(of.since),
        reason,
    }
}
