//! How a run takes back what was over: task runs that begin anew, versions that change, and the outcome afterwards.

use std::sync::Arc;

use crate::graph::{Compiled, TaskIndex};
use crate::mapped::At;
use crate::run::{Numbers, Run, Slot, counts_as_failure};
use crate::state::{Cause, FinalState, RunState};

impl Run {
    /// A task run that is over is open again; its slot is left to the caller. O(out-degree).
    pub(crate) fn reopen(&mut self, task: TaskIndex, state: FinalState) {
        self.open += 1;
        self.failures -= u32::from(counts_as_failure(&self.compiled, task, state));
        self.blocked -= u32::from(state == FinalState::UpstreamFailed);
        let compiled = Arc::clone(&self.compiled);
        for &child in compiled.graph.downstream(task) {
            self.counts[child as usize].take(state);
            self.weigh(child);
        }
    }

    /// Begins a task run anew, from wherever it is.
    pub(crate) fn clear(&mut self, at: At, generation: u32) {
        let before = match self.slot_at(at).copied() {
            None => return,
            Some(Slot::Waiting(numbers)) => numbers,
            Some(Slot::Dispatched(numbers) | Slot::Ended { numbers, .. }) => {
                self.dispatched -= 1;
                numbers
            }
            Some(Slot::Final { numbers, state, .. }) => {
                if !at.is_instance() {
                    self.reopen(at.task, state);
                }
                numbers
            }
        };
        self.put(at, Slot::Waiting(Numbers { losses: 0, generation, tries_before: before.try_no, ..before }));
        self.weigh(at.task);
    }

    /// Whether a waiting task may start, after it or upstreams of it have changed.
    pub(crate) fn weigh(&mut self, task: TaskIndex) {
        if self.may_start(task) {
            self.startable.insert(task);
        } else {
            self.startable.remove(&task);
        }
    }

    /// Goes on with another graph: tasks of both keep what is known of them, new ones wait, others are gone. Only for
    /// runs that are over and have no mapped tasks.
    pub(crate) fn remap(&mut self, compiled: Arc<Compiled>) {
        let mut known = std::mem::take(&mut self.gone);
        let before = Arc::clone(&self.compiled);
        for task in before.graph.indices().filter(|&task| self.chosen[task as usize]) {
            known.insert(self.key(task), self.slots[task as usize]);
        }
        self.compiled = Arc::clone(&compiled);
        self.blank();
        self.choose(self.only.clone());
        for task in compiled.graph.indices() {
            if !self.is_chosen(task) {
                continue;
            }
            if let Some(Slot::Final { numbers, state, cause, started_at, ended_at }) = known.remove(&self.key(task)) {
                self.end(task, numbers, (state, cause), started_at, ended_at);
            }
        }
        self.gone = known;
    }
}

/// How a run ends whose task runs are all over, if nothing stopped it: `state` says how each ended. A failure counts
/// unless the task is allowed to fail; a task that never started counts unless what kept it from starting is excused.
///
/// One pass over the graph, once in a run's life; `trouble` spares it where nothing can count.
pub(crate) fn outcome(
    compiled: &Compiled,
    trouble: bool,
    state: impl Fn(TaskIndex) -> Option<FinalState>,
) -> (RunState, Cause) {
    let good = (RunState::Succeeded, Cause::Completed);
    if !trouble {
        return good;
    }
    let bad = |state| match state {
        Some(FinalState::Failed | FinalState::Cancelled | FinalState::UpstreamFailed) => true,
        Some(FinalState::Succeeded | FinalState::Skipped | FinalState::Removed) | None => false,
    };
    let mut excused = vec![false; compiled.graph.len()];
    for &task in compiled.graph.topological() {
        let ended = state(task);
        if !bad(ended) {
            continue;
        }
        let mut because = compiled.graph.upstream(task).iter().filter(|&&up| bad(state(up))).peekable();
        let kept_from_starting = ended == Some(FinalState::UpstreamFailed) && because.peek().is_some();
        if compiled.task(task).allow_failure || (kept_from_starting && because.all(|&up| excused[up as usize])) {
            excused[task as usize] = true;
        } else {
            return (RunState::Failed, Cause::TaskFailed);
        }
    }
    good
}
