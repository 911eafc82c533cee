//! May a task start? A pure function of its trigger rule and how its direct upstreams ended.
//!
//! Truth tables are Airflow's, looked at when all direct upstreams have ended. Where Airflow's answer depends on which
//! upstream its scheduler happened to see first (`all_success` with one upstream skipped and another failed), this one
//! waits for all and lets the failure win, so the order of finishes never changes the answer.
//!
//! Airflow has no `cancelled`; it counts as failed here, as a stopped task does there. A `removed` upstream counts as
//! if it had never been written.

use crate::state::{Cause, FinalState};
use crate::trigger_rule::TriggerRule;

/// How many direct upstreams ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All direct upstreams.
    pub total: u32,
    /// Of these ended `succeeded`.
    pub succeeded: u32,
    /// Ended `failed`.
    pub failed: u32,
    /// Ended `skipped`.
    pub skipped: u32,
    /// Ended `upstream_failed`.
    pub upstream_failed: u32,
    /// Ended `cancelled`.
    pub cancelled: u32,
    /// Ended `removed`.
    pub removed: u32,
}

impl Counts {
    /// Counts one more upstream that ended.
    pub fn add(&mut self, state: FinalState) {
        *self.of_state(state) += 1;
    }

    /// An upstream that ended so is no longer over.
    pub fn take(&mut self, state: FinalState) {
        *self.of_state(state) -= 1;
    }

    fn of_state(&mut self, state: FinalState) -> &mut u32 {
        match state {
            FinalState::Succeeded => &mut self.succeeded,
            FinalState::Failed => &mut self.failed,
            FinalState::Skipped => &mut self.skipped,
            FinalState::UpstreamFailed => &mut self.upstream_failed,
            FinalState::Cancelled => &mut self.cancelled,
            FinalState::Removed => &mut self.removed,
        }
    }

    /// What counts as failed.
    fn bad(self) -> u32 {
        self.failed + self.upstream_failed + self.cancelled
    }

    /// Upstreams that count at all.
    fn of(self) -> u32 {
        self.total - self.removed
    }

    fn all_done(self) -> bool {
        self.succeeded + self.skipped + self.bad() == self.of()
    }
}

/// What a trigger rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet known.
    Wait,
    /// It may start; no later finish changes that (an upstream that begins anew may).
    Start,
    /// It will never start and ends `skipped`.
    Skip(Cause),
    /// It will never start and ends `upstream_failed`.
    UpstreamFailed(Cause),
}

/// Judges a task that has not started. A task without upstreams starts whatever its rule.
pub fn judge(rule: TriggerRule, counts: Counts) -> Verdict {
    let (of, done, bad) = (counts.of(), counts.all_done(), counts.bad());
    if of == 0 {
        return Verdict::Start;
    }
    let failed = Verdict::UpstreamFailed(Cause::UpstreamFailed);
    let skipped = Verdict::Skip(Cause::UpstreamSkipped);
    let unmet = Verdict::Skip(Cause::TriggerRule);
    let first = |table: &[(bool, Verdict)]| {
        table.iter().find(|(holds, _)| *holds).map_or(Verdict::Wait, |(_, verdict)| *verdict)
    };
    match rule {
        TriggerRule::Always => Verdict::Start,
        TriggerRule::AllSuccess => {
            first(&[(bad > 0, failed), (done && counts.skipped > 0, skipped), (done, Verdict::Start)])
        }
        TriggerRule::AllFailed => first(&[(counts.succeeded + counts.skipped > 0, unmet), (done, Verdict::Start)]),
        TriggerRule::AllDone => first(&[(done, Verdict::Start)]),
        // A skipped upstream is not "done" for this rule, so one is enough to skip the task.
        TriggerRule::AllDoneMinOneSuccess => {
            first(&[(counts.skipped > 0, skipped), (done && counts.succeeded > 0, Verdict::Start), (done, failed)])
        }
        TriggerRule::AllSkipped => first(&[(counts.succeeded + bad > 0, unmet), (done, Verdict::Start)]),
        TriggerRule::OneFailed => first(&[(bad > 0, Verdict::Start), (done, unmet)]),
        TriggerRule::OneSuccess => {
            first(&[(counts.succeeded > 0, Verdict::Start), (done && counts.skipped == of, skipped), (done, failed)])
        }
        // Airflow counts `succeeded` and `failed` here, not `upstream_failed`.
        TriggerRule::OneDone => first(&[
            (counts.succeeded + counts.failed + counts.cancelled > 0, Verdict::Start),
            (done && counts.skipped == of, skipped),
            (done, Verdict::Skip(Cause::UpstreamFailed)),
        ]),
        TriggerRule::NoneFailed => first(&[(bad > 0, failed), (done, Verdict::Start)]),
        TriggerRule::NoneFailedMinOneSuccess => {
            first(&[(bad > 0, failed), (done && counts.succeeded > 0, Verdict::Start), (done, skipped)])
        }
        TriggerRule::NoneSkipped => first(&[(counts.skipped > 0, skipped), (done, Verdict::Start)]),
    }
}
