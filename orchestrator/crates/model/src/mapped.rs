//! Mapped tasks: where each instance is, and what they say of their task together.
//!
//! The task itself waits until the last of its instances is over, and has no attempts of its own. Instances that have not
//! begun have no rows; they count for nothing once their task is over, however that came.

use std::collections::BTreeSet;

use crate::graph::TaskIndex;
use crate::id::{MapIndex, TaskKey};
use crate::judge::Verdict;
use crate::run::{Numbers, Run, Slot};
use crate::state::{Cause, FinalState};
use crate::time::Timestamp;

/// A task run inside a run: a task, or one of its instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct At {
    pub(crate) task: TaskIndex,
    pub(crate) index: MapIndex,
}

impl At {
    /// The task itself.
    pub(crate) fn task(task: TaskIndex) -> Self {
        Self { task, index: MapIndex::NONE }
    }

    pub(crate) fn is_instance(self) -> bool {
        self.index != MapIndex::NONE
    }
}

/// The instances of a mapped task.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    slots: Vec<Slot>,
    /// Those that are not dispatched and not over.
    waiting: BTreeSet<MapIndex>,
    dispatched: u32,
}

impl Mapped {
    pub(crate) fn new(n: u32) -> Self {
        let slots = vec![Slot::Waiting(Numbers::default()); n as usize];
        let waiting = (0..).map(MapIndex).take(slots.len()).collect();
        Self { slots, waiting, dispatched: 0 }
    }

    /// How many there are.
    pub fn n(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// How many of them are dispatched.
    pub fn dispatched(&self) -> u32 {
        self.dispatched
    }

    /// What is known about one; `None` = there is none.
    pub fn slot(&self, index: MapIndex) -> Option<&Slot> {
        self.slots.get(usize::try_from(index.0).ok()?)
    }

    /// All of them, in order.
    pub fn slots(&self) -> impl Iterator<Item = (MapIndex, &Slot)> {
        (0..).map(MapIndex).zip(&self.slots)
    }

    /// Those that are not dispatched and not over, in order.
    pub(crate) fn waiting(&self) -> &BTreeSet<MapIndex> {
        &self.waiting
    }

    fn put(&mut self, index: MapIndex, slot: Slot) {
        let Some(old) = usize::try_from(index.0).ok().and_then(|at| self.slots.get_mut(at)) else { return };
        let at_work = |slot: &Slot| u32::from(matches!(slot, Slot::Dispatched(_) | Slot::Ended { .. }));
        self.dispatched = self.dispatched + at_work(&slot) - at_work(old);
        *old = slot;
        if slot.is_waiting() {
            self.waiting.insert(index);
        } else {
            self.waiting.remove(&index);
        }
    }

    /// How the task ends, all of its instances being over: a failure counts before a cancel, and that before a success.
    pub(crate) fn outcome(&self) -> (FinalState, Cause) {
        let mut ended = self.slots.iter().filter_map(|slot| match slot {
            Slot::Final { state, cause, .. } => Some((*state, *cause)),
            Slot::Waiting(_) | Slot::Dispatched(_) | Slot::Ended { .. } => None,
        });
        outcome(&mut ended)
    }

    /// When the first body of an instance began.
    pub(crate) fn started_at(&self) -> Option<Timestamp> {
        let started = self.slots.iter().filter_map(|slot| match slot {
            Slot::Final { started_at, .. } => *started_at,
            Slot::Waiting(_) | Slot::Dispatched(_) | Slot::Ended { .. } => None,
        });
        started.min()
    }
}

/// How a task ends whose instances ended so.
pub(crate) fn outcome(ended: &mut dyn Iterator<Item = (FinalState, Cause)>) -> (FinalState, Cause) {
    let mut found = (FinalState::Skipped, Cause::Task);
    let rank = |state: FinalState| match state {
        FinalState::Failed | FinalState::UpstreamFailed => 3,
        FinalState::Cancelled => 2,
        FinalState::Succeeded => 1,
        FinalState::Skipped | FinalState::Removed => 0,
    };
    for (state, cause) in ended {
        if rank(state) > rank(found.0) {
            found = match state {
                FinalState::Failed | FinalState::UpstreamFailed => (FinalState::Failed, Cause::TaskFailed),
                FinalState::Succeeded => (FinalState::Succeeded, Cause::Completed),
                FinalState::Cancelled | FinalState::Skipped | FinalState::Removed => (state, cause),
            };
        }
    }
    found
}

impl Run {
    /// The instances of a task; `None` = it is not mapped.
    pub fn mapped(&self, task: TaskIndex) -> Option<&Mapped> {
        self.instances.get(&task)
    }

    /// How many instances a task has that is mapped; `None` for its instances, and for a task that is not.
    pub fn expanded(&self, key: &TaskKey) -> Option<u32> {
        self.position(key).and_then(|task| self.mapped(task)).map(Mapped::n)
    }

    /// Where a task run is, if the run has it.
    pub(crate) fn locate(&self, key: &TaskKey) -> Option<At> {
        let task = self.position(&TaskKey::of(key.task.clone()))?;
        let at = At { task, index: key.map_index };
        self.slot_at(at).map(|_| at)
    }

    pub(crate) fn slot_at(&self, at: At) -> Option<&Slot> {
        if at.is_instance() { self.mapped(at.task)?.slot(at.index) } else { self.slots.get(at.task as usize) }
    }

    pub(crate) fn key_at(&self, at: At) -> TaskKey {
        TaskKey { map_index: at.index, ..self.key(at.task) }
    }

    pub(crate) fn put(&mut self, at: At, slot: Slot) {
        if at.is_instance() {
            if let Some(mapped) = self.instances.get_mut(&at.task) {
                mapped.put(at.index, slot);
            }
        } else {
            self.slots[at.task as usize] = slot;
        }
    }

    /// Its rule is satisfied, and something of it is left to be dispatched.
    pub(crate) fn may_start(&self, task: TaskIndex) -> bool {
        let left = self.mapped(task).is_none_or(|mapped| !mapped.waiting.is_empty());
        let waits = self.chosen[task as usize] && self.slots[task as usize].is_waiting();
        waits && left && self.verdict(task) == Verdict::Start
    }

    /// All dispatched task runs.
    pub(crate) fn at_work(&self) -> impl Iterator<Item = At> + '_ {
        self.compiled.graph.indices().flat_map(|task| {
            let own = matches!(self.slots[task as usize], Slot::Dispatched(_)).then(|| At::task(task));
            let instances = self.mapped(task).into_iter().flat_map(Mapped::slots);
            let instances = instances.filter(|(_, slot)| matches!(slot, Slot::Dispatched(_)));
            own.into_iter().chain(instances.map(move |(index, _)| At { task, index }))
        })
    }
}
