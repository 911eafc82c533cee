//! Whether a task can run at all: tries every course that its upstream tasks can take.
//!
//! A task that runs may succeed, fail or skip itself; one whose rule is not met is skipped or `upstream_failed`, as in
//! Airflow's tables. Few tasks are tried out exhaustively; larger graphs are taken as fine.

use updraft_model::trigger_rule::TriggerRule;

use crate::diagnostic::Span;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Succeeded,
    Failed,
    Skipped,
    UpstreamFailed,
}

const COURSES: [End; 3] = [End::Succeeded, End::Failed, End::Skipped];

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
    let mut ends = vec![End::Succeeded; upstream.len()];
    for course in 0..courses {
        let mut rest = course;
        for ancestor in ancestors {
            let own = COURSES[rest % 3];
            rest /= 3;
            let parents = upstream[*ancestor].iter().map(|parent| ends[*parent]);
            ends[*ancestor] = judge(rules[*ancestor].0, parents).unwrap_or(own);
        }
        if judge(rules[task].0, upstream[task].iter().map(|parent| ends[*parent])).is_none() {
            return Some(true);
        }
    }
    Some(false)
}

/// `None` if the task runs, else how it ends without running.
fn judge(rule: TriggerRule, parents: impl Iterator<Item = End>) -> Option<End> {
    let (mut all, mut succeeded, mut failed, mut skipped) = (0, 0, 0, 0);
    for end in parents {
        all += 1;
        match end {
            End::Succeeded => succeeded += 1,
            End::Failed | End::UpstreamFailed => failed += 1,
            End::Skipped => skipped += 1,
        }
    }
    if all == 0 {
        return None;
    }
    let unless = |met: bool, otherwise: End| if met { None } else { Some(otherwise) };
    let broken = if failed > 0 { End::UpstreamFailed } else { End::Skipped };
    match rule {
        TriggerRule::Always | TriggerRule::AllDone => None,
        TriggerRule::AllSuccess => unless(succeeded == all, broken),
        TriggerRule::AllFailed => unless(failed == all, End::Skipped),
        TriggerRule::AllDoneMinOneSuccess => unless(succeeded > 0, broken),
        TriggerRule::AllSkipped => unless(skipped == all, End::Skipped),
        TriggerRule::OneFailed => unless(failed > 0, End::Skipped),
        TriggerRule::OneSuccess => unless(succeeded > 0, broken),
        TriggerRule::OneDone => unless(succeeded + failed > 0, End::Skipped),
        TriggerRule::NoneFailed => unless(failed == 0, End::UpstreamFailed),
        TriggerRule::NoneFailedMinOneSuccess => unless(failed == 0 && succeeded > 0, broken),
        TriggerRule::NoneSkipped => unless(skipped == 0, End::Skipped),
    }
}
