//! Letters of a grid's cells.

use updraft_model::state::TaskRunState;

/// One letter a state: `s` succeeded, `f` failed, `k` skipped, `u` `upstream_failed`, `c` cancelled, `r` running, `y` ready,
/// `w` waiting, `t` `retry_wait`, `d` deferred, `x` removed.
pub const fn letter(state: TaskRunState) -> char {
    match state {
        TaskRunState::Waiting => 'w',
        TaskRunState::Ready => 'y',
        TaskRunState::Running => 'r',
        TaskRunState::RetryWait => 't',
        TaskRunState::Deferred => 'd',
        TaskRunState::Succeeded => 's',
        TaskRunState::Failed => 'f',
        TaskRunState::Skipped => 'k',
        TaskRunState::UpstreamFailed => 'u',
        TaskRunState::Cancelled => 'c',
        TaskRunState::Removed => 'x',
    }
}

/// A task that the run does not have: it was not chosen, or its version lacks it.
pub const NONE: char = '.';
