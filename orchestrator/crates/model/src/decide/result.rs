//! What an attempt's result means for its task run: over, or once more; and how it is recorded.

use std::time::Duration;

use super::Draft;
use crate::input::{AttemptResult, CLASS_PANIC, CLASS_SKIPPED, CLASS_TIMEOUT, Reject, Retryable};
use crate::mapped::At;
use crate::retry::jitter_unit;
use crate::run::Numbers;
use crate::state::{Cause, DispatchWhy, FinalState, Outcome};
use crate::time::Timestamp;

/// Losses that a task run survives; the next one ends it. Losses by a drain or a mere suspicion are not counted: they say
/// nothing about the task.
pub const LOSS_BUDGET: u32 = 3;

/// How a result is recorded.
pub(super) struct Ending {
    pub(super) outcome: Outcome,
    pub(super) cause: Cause,
    pub(super) class: Option<String>,
    pub(super) message: Option<String>,
    pub(super) bytes: u32,
}

/// What a result means for its task run.
pub(super) enum Next {
    Over(FinalState, Cause),
    Again { numbers: Numbers, why: DispatchWhy, due: Option<Timestamp> },
}

impl Draft<'_> {
    /// What a result means: over, or once more.
    pub(super) fn next(&self, at: At, numbers: Numbers, result: &AttemptResult, now: Timestamp) -> Next {
        match result {
            AttemptResult::Succeeded { .. } => Next::Over(FinalState::Succeeded, Cause::Task),
            AttemptResult::Skipped { .. } => Next::Over(FinalState::Skipped, Cause::Task),
            AttemptResult::Unwanted { .. } => Next::Over(FinalState::Skipped, Cause::When),
            AttemptResult::Cancelled => Next::Over(FinalState::Cancelled, self.stop_cause()),
            AttemptResult::Rejected { cause, .. } => Next::Over(FinalState::Failed, *cause),
            AttemptResult::Failed { class, retryable, .. } => {
                self.after_failure(at, numbers, class, *retryable, Cause::Task, now)
            }
            AttemptResult::TimedOut { .. } => {
                self.after_failure(at, numbers, CLASS_TIMEOUT, Retryable::YES, Cause::Timeout, now)
            }
            AttemptResult::Panicked { .. } => {
                self.after_failure(at, numbers, CLASS_PANIC, Retryable::YES, Cause::Panic, now)
            }
            AttemptResult::Lost { cause, .. } => {
                let counted = u32::from(!matches!(cause, Cause::Drained | Cause::WorkerSuspect));
                if self.is_stopping() {
                    Next::Over(FinalState::Cancelled, self.stop_cause())
                } else if numbers.losses + counted > LOSS_BUDGET {
                    Next::Over(FinalState::Failed, Cause::LossBudget)
                } else {
                    Next::Again {
                        numbers: Numbers {
                            dispatch_no: numbers.dispatch_no + 1,
                            losses: numbers.losses + counted,
                            ..numbers
                        },
                        why: DispatchWhy::Lost,
                        due: None,
                    }
                }
            }
        }
    }

    fn after_failure(
        &self,
        at: At,
        numbers: Numbers,
        class: &str,
        retryable: Retryable,
        cause: Cause,
        now: Timestamp,
    ) -> Next {
        let policy = &self.run.compiled.task(at.task).retry;
        let after = match retryable {
            Retryable::After(span) if numbers.own_try() <= policy.limit && policy.covers(class) => span,
            Retryable::After(_) | Retryable::Never => return Next::Over(FinalState::Failed, cause),
        };
        if self.is_stopping() {
            return Next::Over(FinalState::Cancelled, self.stop_cause());
        }
        let u = jitter_unit(self.run.facts.run_id, &self.run.key_at(at), numbers.generation, numbers.try_no);
        let wait: Duration = policy.wait(numbers.own_try(), u).max(after);
        Next::Again {
            numbers: Numbers { dispatch_no: numbers.dispatch_no + 1, try_no: numbers.try_no + 1, ..numbers },
            why: DispatchWhy::Retry,
            due: Some(now + wait),
        }
    }
}

pub(super) fn check_cause(result: &AttemptResult) -> Result<(), Reject> {
    match result {
        AttemptResult::Lost { cause, .. }
            if !matches!(cause, Cause::WorkerDied | Cause::WorkerSuspect | Cause::Orphaned | Cause::Drained) =>
        {
            Err(Reject::BadCause(*cause))
        }
        AttemptResult::Rejected { cause, .. }
            if !matches!(cause, Cause::BadParameters | Cause::BadOutput | Cause::StoreRejected) =>
        {
            Err(Reject::BadCause(*cause))
        }
        AttemptResult::Succeeded { .. }
        | AttemptResult::Skipped { .. }
        | AttemptResult::Unwanted { .. }
        | AttemptResult::Failed { .. }
        | AttemptResult::TimedOut { .. }
        | AttemptResult::Panicked { .. }
        | AttemptResult::Lost { .. }
        | AttemptResult::Cancelled
        | AttemptResult::Rejected { .. } => Ok(()),
    }
}

pub(super) fn ending(result: AttemptResult) -> Ending {
    let plain = |outcome, cause| Ending { outcome, cause, class: None, message: None, bytes: 0 };
    let error = |outcome, cause, class: String, message| Ending {
        class: Some(class),
        message: Some(message),
        ..plain(outcome, cause)
    };
    match result {
        AttemptResult::Succeeded { bytes } => Ending { bytes, ..plain(Outcome::Succeeded, Cause::Task) },
        AttemptResult::Skipped { reason } => error(Outcome::Skipped, Cause::Task, CLASS_SKIPPED.to_owned(), reason),
        AttemptResult::Unwanted { reason } => error(Outcome::Skipped, Cause::When, CLASS_SKIPPED.to_owned(), reason),
        AttemptResult::Failed { class, message, .. } => error(Outcome::Failed, Cause::Task, class, message),
        AttemptResult::TimedOut { message } => {
            error(Outcome::TimedOut, Cause::Timeout, CLASS_TIMEOUT.to_owned(), message)
        }
        AttemptResult::Panicked { message } => error(Outcome::Failed, Cause::Panic, CLASS_PANIC.to_owned(), message),
        AttemptResult::Lost { cause, message } => {
            Ending { message: (!message.is_empty()).then_some(message), ..plain(Outcome::Lost, cause) }
        }
        AttemptResult::Cancelled => plain(Outcome::Cancelled, Cause::CancelRequested),
        AttemptResult::Rejected { cause, class, message } => error(Outcome::Failed, cause, class, message),
    }
}
