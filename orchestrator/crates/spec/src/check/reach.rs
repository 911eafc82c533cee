//! Whether a task can run at all: tries every course that its upstream tasks can take.
//!
//! A task that runs may succeed, fail or skip itself; one whose rule is not met ends as
//! [`judge`] says. Few tasks are tried out exhaustively; larger graphs are taken as fine.

use updraft_model::judge::{Counts, Verdict, judge};
use updraft_model::state::FinalState;
use updraft_model::trigger_rule::TriggerRule;

use crate::diagnostic::Span;

const COURSES: [FinalState; 3] = [FinalState::Succeeded, FinalState::Failed, FinalState::Skipped];

/// Whether some course of the ancestors (each after its own) lets the task run; `None` if there are too many to try.
pub(super) fn can_run(
    task: usize,
    ancestors: &[usize],
    upstream: &[Vec<usize>],
    rules: &[(TriggerRule, Span)],
    budget: &mut usize,
) -> Option<bool> {
    let courses = u32::try_from(ancestors.len()).ok().and_then(|count| 3_usize.checked_pow(count))?;
    let cost = courses.checked_mul(ancestors.len() + 1)?;
    if cost > *budget {
        return None;
    }
    *budget -= cost;
    let mut ends = vec![FinalState::Succeeded; upstream.len()];
    for course in 0..courses {
        let mut rest = course;
        for ancestor in ancestors {
            let own = COURSES[rest % 3];
            rest /= 3;
            let parents = upstream[*ancestor].iter().map(|parent| ends[*parent]);
            ends[*ancestor] = ends_without_running(rules[*ancestor].0, parents).unwrap_or(own);
        }
        if ends_without_running(rules[task].0, upstream[task].iter().map(|parent| ends[*parent])).is_none() {
            return Some(true);
        }
    }
    Some(false)
}

/// `None` if the task runs, else how it ends without running.
fn ends_without_running(rule: TriggerRule, parents: impl Iterator<Item = FinalState>) -> Option<FinalState> {
    let mut counts = Counts::default();
    for end in parents {
        counts.total += 1;
        counts.add(end);
    }
    match judge(rule, counts) {
        // All upstreams have ended, so there is nothing to wait for.
        Verdict::Start | Verdict::Wait => None,
        Verdict::Skip(_) => Some(FinalState::Skipped),
        Verdict::UpstreamFailed(_) => Some(FinalState::UpstreamFailed),
    }
}
