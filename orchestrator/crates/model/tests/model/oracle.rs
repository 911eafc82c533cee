//! The trigger rules once more, written from the words of Airflow's documentation over plain lists of states, without
//! the counters of the model. Slow and obvious on purpose.

use updraft_model::state::FinalState;
use updraft_model::trigger_rule::TriggerRule;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Wait,
    Start,
    End(FinalState),
}

fn is_bad(state: FinalState) -> bool {
    matches!(state, FinalState::Failed | FinalState::UpstreamFailed | FinalState::Cancelled)
}

/// What becomes of a task whose direct upstreams are in these states; `None` = not over.
pub fn judge(rule: TriggerRule, upstreams: &[Option<FinalState>]) -> Answer {
    if upstreams.is_empty() {
        return Answer::Start;
    }
    // An answer is final if no way in which the open upstreams may end leads to another one. The `one_*` rules and
    // `always` start the moment it is so; for endings the same holds.
    let open = upstreams.iter().position(Option::is_none);
    if let Some(open) = open {
        if can_start_early(rule, upstreams) {
            return Answer::Start;
        }
        let mut answers = Vec::new();
        for state in [
            FinalState::Succeeded,
            FinalState::Failed,
            FinalState::Skipped,
            FinalState::UpstreamFailed,
            FinalState::Cancelled,
        ] {
            let mut then = upstreams.to_vec();
            then[open] = Some(state);
            answers.push(judge(rule, &then));
        }
        let first = answers[0];
        let settled = first != Answer::Start && answers.iter().all(|answer| *answer == first);
        return if settled { first } else { Answer::Wait };
    }
    let ended: Vec<FinalState> = upstreams.iter().flatten().copied().collect();
    at_the_end(rule, &ended)
}

fn can_start_early(rule: TriggerRule, upstreams: &[Option<FinalState>]) -> bool {
    let any = |wanted: fn(FinalState) -> bool| upstreams.iter().flatten().any(|state| wanted(*state));
    match rule {
        TriggerRule::Always => true,
        TriggerRule::OneSuccess => any(|state| state == FinalState::Succeeded),
        TriggerRule::OneFailed => any(is_bad),
        TriggerRule::OneDone => {
            any(|state| matches!(state, FinalState::Succeeded | FinalState::Failed | FinalState::Cancelled))
        }
        TriggerRule::AllSuccess
        | TriggerRule::AllFailed
        | TriggerRule::AllDone
        | TriggerRule::AllDoneMinOneSuccess
        | TriggerRule::AllSkipped
        | TriggerRule::NoneFailed
        | TriggerRule::NoneFailedMinOneSuccess
        | TriggerRule::NoneSkipped => false,
    }
}

fn at_the_end(rule: TriggerRule, ended: &[FinalState]) -> Answer {
    let all = |wanted: fn(FinalState) -> bool| ended.iter().all(|state| wanted(*state));
    let any = |wanted: fn(FinalState) -> bool| ended.iter().any(|state| wanted(*state));
    let succeeded = |state| state == FinalState::Succeeded;
    let skipped = |state| state == FinalState::Skipped;
    let skip = Answer::End(FinalState::Skipped);
    let failed = Answer::End(FinalState::UpstreamFailed);
    let start_if = |holds: bool, otherwise: Answer| if holds { Answer::Start } else { otherwise };
    match rule {
        TriggerRule::Always | TriggerRule::AllDone => Answer::Start,
        TriggerRule::AllSuccess => start_if(all(succeeded), if any(is_bad) { failed } else { skip }),
        TriggerRule::AllFailed => start_if(all(is_bad), skip),
        TriggerRule::AllSkipped => start_if(all(skipped), skip),
        TriggerRule::AllDoneMinOneSuccess => {
            if any(skipped) {
                skip
            } else {
                start_if(any(succeeded), failed)
            }
        }
        TriggerRule::OneFailed => start_if(any(is_bad), skip),
        TriggerRule::OneSuccess => start_if(any(succeeded), if all(skipped) { skip } else { failed }),
        TriggerRule::OneDone => start_if(
            any(|state| matches!(state, FinalState::Succeeded | FinalState::Failed | FinalState::Cancelled)),
            skip,
        ),
        TriggerRule::NoneFailed => start_if(!any(is_bad), failed),
        TriggerRule::NoneFailedMinOneSuccess => {
            if any(is_bad) {
                failed
            } else {
                start_if(any(succeeded), skip)
            }
        }
        TriggerRule::NoneSkipped => start_if(!any(skipped), skip),
    }
}
