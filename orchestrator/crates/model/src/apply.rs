//! What an event does to the cached state. Consumes events only: no clock, no rule that could say something else later.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::event::{Anew, Event, Subject};
use crate::id::{MapIndex, TaskKey, VersionId};
use crate::mapped::{At, Mapped};
use crate::run::{Numbers, Run, Slot};
use crate::state::{Cause, DispatchWhy, FinalState, RunState};
use crate::time::Timestamp;

/// A history or a row that cannot be: the run is broken, or was written by a newer build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// The pinned version, or the chosen part of it, has no such task run.
    #[error("`{0}` is not a task run of this run")]
    UnknownTask(TaskKey),
    /// Rows that exclude each other: over and dispatched, or twice the same.
    #[error("`{0}` has two rows in `task_run` and `work` together")]
    TwoRows(TaskKey),
    /// A commit is missing.
    #[error("version {found} does not follow on version {known}")]
    Gap {
        /// Last version taken in.
        known: u64,
        /// Version of the next commit.
        found: u64,
    },
    /// The event cannot happen here.
    #[error("`{event}` cannot follow when {state}")]
    Event {
        /// Its kind.
        event: &'static str,
        /// What was found.
        state: String,
    },
    /// The event belongs to another workflow version.
    #[error("the run is pinned to version {pinned}, but was created from version {created}")]
    Version {
        /// In the run's row.
        pinned: i64,
        /// In its first event.
        created: i64,
    },
    /// The run goes on with a version that is not known here: bring it, or load the run anew.
    #[error("the run goes on with version {0}, which is not known here")]
    UnknownVersion(VersionId),
}

impl Run {
    /// Takes in one event. After an error the state is as before.
    ///
    /// # Errors
    /// The event cannot happen in this state.
    pub fn apply(&mut self, event: &Event, now: Timestamp) -> Result<(), Illegal> {
        let state = self.projection.state;
        let exists = self.events > 0;
        let live = self.is_live();
        let reopened = state == RunState::Queued && self.projection.generation > 0;
        match event {
            Event::RunCreated { version_id, only, .. } => {
                if exists {
                    return Err(self.illegal(event));
                }
                if *version_id != self.facts.version_id {
                    return Err(Illegal::Version { pinned: self.facts.version_id.0, created: version_id.0 });
                }
                self.choose(only.clone());
            }
            Event::RunStarted {} => {
                if !exists || state != RunState::Queued {
                    return Err(self.illegal(event));
                }
                self.projection.state = RunState::Running;
                self.projection.started_at = Some(now);
            }
            Event::RunCancelRequested { .. } => self.stop(event, Cause::CancelRequested, exists)?,
            Event::RunAborted { cause } => self.stop(event, *cause, exists)?,
            Event::RunReopened { generation, version_id, tasks, queue, waits, .. } => {
                self.reopened(event, (*generation, *version_id), tasks, (!waits).then_some(now))?;
                if let Some(queue) = queue {
                    self.facts.queue.clone_from(queue);
                }
            }
            Event::RunFinished { outcome, cause } => {
                if !(self.is_live() || state.is_final()) || self.open > 0 || !outcome.is_final() {
                    return Err(self.illegal(event));
                }
                self.projection.state = *outcome;
                self.projection.cause = Some(*cause);
                // An outcome that an operator has changed: the run was over before.
                self.projection.ended_at.get_or_insert(now);
            }
            Event::RunBroken { .. } => {
                if !exists || state.is_final() || state == RunState::Broken {
                    return Err(self.illegal(event));
                }
                self.projection.state = RunState::Broken;
            }
            Event::RunRepaired { .. } => {
                if state != RunState::Broken {
                    return Err(self.illegal(event));
                }
                self.projection.state = self.state_before_break();
            }
            Event::TaskExpanded { task, n, generation } => {
                let subject = Subject { task: task.clone(), map_index: MapIndex::NONE };
                let (at, slot) = self.subject(&subject)?;
                let before = matches!(state, RunState::Queued | RunState::Running) && exists;
                match slot {
                    Slot::Waiting(numbers)
                        if before && numbers.generation == *generation && self.mapped(at.task).is_none() =>
                    {
                        self.instances.insert(at.task, Mapped::new(*n));
                        self.weigh(at.task);
                    }
                    Slot::Waiting(_) | Slot::Dispatched(_) | Slot::Ended { .. } | Slot::Final { .. } => {
                        return Err(self.illegal_task(event, &subject));
                    }
                }
            }
            Event::TaskDispatched { subject, dispatch_no, try_no, generation, losses, why, .. } => {
                let (at, slot) = self.subject(subject)?;
                let before = match slot {
                    Slot::Waiting(before) | Slot::Ended { numbers: before, .. } => before,
                    // Its wait for the next try is cut short.
                    Slot::Dispatched(before) if *why == DispatchWhy::Manual => before,
                    Slot::Dispatched(_) | Slot::Final { .. } => return Err(self.illegal_task(event, subject)),
                };
                // A mapped task is dispatched instance by instance.
                let whole = !at.is_instance() && self.mapped(at.task).is_some();
                if state != RunState::Running || *dispatch_no <= before.dispatch_no || whole || !self.waits(at) {
                    return Err(self.illegal_task(event, subject));
                }
                self.dispatched += u32::from(slot.is_waiting());
                let numbers = Numbers {
                    dispatch_no: *dispatch_no,
                    try_no: *try_no,
                    losses: *losses,
                    generation: *generation,
                    tries_before: before.tries_before,
                };
                self.put(at, Slot::Dispatched(numbers));
                self.weigh(at.task);
            }
            Event::AttemptEnded { subject, dispatch_no, started_at, .. } => {
                let (at, slot) = self.subject(subject)?;
                match slot {
                    Slot::Dispatched(numbers) if self.is_live() && numbers.dispatch_no == *dispatch_no => {
                        self.put(at, Slot::Ended { numbers, started_at: *started_at });
                    }
                    Slot::Dispatched(_) | Slot::Waiting(_) | Slot::Ended { .. } | Slot::Final { .. } => {
                        return Err(self.illegal_task(event, subject));
                    }
                }
            }
            Event::TaskFinished { subject, dispatch_no: None, state: FinalState::Removed, cause } => {
                match self.gone.get_mut(&subject.key()) {
                    Some(Slot::Final { state: ended, cause: why, started_at, ended_at, .. }) if live || reopened => {
                        (*ended, *why, *started_at, *ended_at) = (FinalState::Removed, *cause, None, now);
                    }
                    Some(_) | None => return Err(self.illegal_task(event, subject)),
                }
            }
            Event::TaskFinished { subject, dispatch_no, state, cause } => {
                let (at, slot) = self.subject(subject)?;
                let (numbers, started_at, was_dispatched) = match (slot, dispatch_no) {
                    (Slot::Waiting(numbers), None) if self.is_live() => (numbers, None, false),
                    // A cancel deleted its row in `work`.
                    (Slot::Dispatched(numbers), None) if self.projection.state == RunState::Cancelling => {
                        (numbers, None, true)
                    }
                    (Slot::Ended { numbers, started_at }, Some(by)) if self.is_live() && numbers.dispatch_no == *by => {
                        (numbers, started_at, true)
                    }
                    (Slot::Waiting(_) | Slot::Dispatched(_) | Slot::Ended { .. } | Slot::Final { .. }, _) => {
                        return Err(self.illegal_task(event, subject));
                    }
                };
                let mapped = self.mapped(at.task).filter(|_| !at.is_instance());
                // The task ends with the last of its instances; an instance that never began does not end.
                if mapped.is_some_and(|mapped| mapped.dispatched() > 0) || at.is_instance() && !was_dispatched {
                    return Err(self.illegal_task(event, subject));
                }
                let started_at = mapped.map_or(started_at, Mapped::started_at);
                self.dispatched -= u32::from(was_dispatched);
                self.over(at, numbers, (*state, *cause), started_at, now);
            }
            Event::TaskCleared { subject, generation, .. } => {
                let (at, slot) = self.subject(subject)?;
                match slot {
                    Slot::Dispatched(numbers) | Slot::Final { numbers, .. }
                        if state == RunState::Running
                            && *generation == numbers.generation + 1
                            && (!at.is_instance() || self.waits(at)) =>
                    {
                        self.clear(at, *generation);
                    }
                    Slot::Waiting(_) | Slot::Dispatched(_) | Slot::Ended { .. } | Slot::Final { .. } => {
                        return Err(self.illegal_task(event, subject));
                    }
                }
            }
            Event::TaskSet { subject, state: set, .. } => {
                let (at, slot) = self.subject(subject)?;
                let busy = !at.is_instance() && self.mapped(at.task).is_some_and(|mapped| mapped.dispatched() > 0);
                if !(state == RunState::Running || state.is_final()) || busy {
                    return Err(self.illegal_task(event, subject));
                }
                let numbers = match slot {
                    Slot::Waiting(numbers) => numbers,
                    Slot::Dispatched(numbers) | Slot::Ended { numbers, .. } => {
                        self.dispatched -= 1;
                        numbers
                    }
                    Slot::Final { numbers, state, .. } => {
                        if !at.is_instance() {
                            self.reopen(at.task, state);
                        }
                        numbers
                    }
                };
                self.over(at, numbers, (*set, Cause::Marked), None, now);
            }
        }
        self.events += 1;
        Ok(())
    }

    /// Begins a new generation of the run, on another version if it says so. Without a start it waits for a run slot.
    fn reopened(
        &mut self,
        event: &Event,
        (generation, version_id): (u32, VersionId),
        tasks: &[Anew],
        started_at: Option<Timestamp>,
    ) -> Result<(), Illegal> {
        if !self.projection.state.is_final() || generation != self.projection.generation + 1 {
            return Err(self.illegal(event));
        }
        let mut changed = None;
        if version_id != self.facts.version_id {
            if !self.instances.is_empty() {
                return Err(self.illegal(event));
            }
            let known = self.next.as_ref().filter(|next| next.version_id == version_id);
            let compiled = known.map(|next| Arc::clone(&next.compiled)).ok_or(Illegal::UnknownVersion(version_id))?;
            let mut copy = self.clone();
            copy.remap(compiled);
            copy.facts.version_id = version_id;
            changed = Some(copy);
        }
        let after = changed.as_ref().unwrap_or(self);
        let mut anew: Vec<(At, u32)> = Vec::with_capacity(tasks.len());
        let mut begun = BTreeSet::new();
        for one in tasks {
            let at = after.known(&one.key())?;
            // An instance begins anew with its task, which comes before it.
            let with_task = !at.is_instance() || begun.contains(&at.task);
            match after.slot_at(at) {
                Some(Slot::Final { numbers, .. }) if with_task && one.generation == numbers.generation + 1 => {
                    anew.push((at, one.generation));
                    begun.insert(at.task);
                }
                Some(Slot::Waiting(_) | Slot::Dispatched(_) | Slot::Ended { .. } | Slot::Final { .. }) | None => {
                    return Err(self.illegal(event));
                }
            }
        }
        if let Some(changed) = changed {
            *self = changed;
        }
        self.next = None;
        for (at, generation) in anew {
            self.clear(at, generation);
        }
        self.projection.state = if started_at.is_some() { RunState::Running } else { RunState::Queued };
        self.projection.cause = None;
        self.projection.generation = generation;
        // Its clock begins anew: the time in between belongs to no generation.
        self.projection.started_at = started_at;
        self.projection.ended_at = None;
        Ok(())
    }

    fn stop(&mut self, event: &Event, cause: Cause, exists: bool) -> Result<(), Illegal> {
        if !exists || !matches!(self.projection.state, RunState::Queued | RunState::Running) {
            return Err(self.illegal(event));
        }
        self.projection.state = RunState::Cancelling;
        self.projection.cause = Some(cause);
        Ok(())
    }

    /// Attempts may come back.
    fn is_live(&self) -> bool {
        match self.projection.state {
            RunState::Running | RunState::Cancelling => self.events > 0,
            RunState::Queued | RunState::Succeeded | RunState::Failed | RunState::Cancelled | RunState::Broken => false,
        }
    }

    /// Where it was before it was set aside; nothing else changed since.
    fn state_before_break(&self) -> RunState {
        match (self.projection.cause, self.projection.started_at) {
            (Some(_), _) => RunState::Cancelling,
            (None, Some(_)) => RunState::Running,
            (None, None) => RunState::Queued,
        }
    }

    fn subject(&self, subject: &Subject) -> Result<(At, Slot), Illegal> {
        let (at, key) = (self.known(&subject.key())?, subject.key());
        self.slot_at(at).map(|slot| (at, *slot)).ok_or(Illegal::UnknownTask(key))
    }

    /// The task of an instance is not over; that of any other task run does not matter.
    fn waits(&self, at: At) -> bool {
        !at.is_instance() || self.slots[at.task as usize].is_waiting()
    }

    /// Ends a task run. What follows from the end of an instance is another event.
    fn over(
        &mut self,
        at: At,
        numbers: Numbers,
        (state, cause): (FinalState, Cause),
        started_at: Option<Timestamp>,
        ended_at: Timestamp,
    ) {
        if at.is_instance() {
            let numbers = Numbers { tries_before: 0, ..numbers };
            self.put(at, Slot::Final { numbers, state, cause, started_at, ended_at });
            self.weigh(at.task);
        } else {
            self.end(at.task, numbers, (state, cause), started_at, ended_at);
        }
    }

    fn illegal(&self, event: &Event) -> Illegal {
        let state = if self.events == 0 {
            "the run does not exist".to_owned()
        } else {
            format!("the run is {} with {} open task runs", self.projection.state, self.open)
        };
        Illegal::Event { event: event.kind(), state }
    }

    fn illegal_task(&self, event: &Event, subject: &Subject) -> Illegal {
        let key = subject.key();
        let slot = self.slot_of(&key).map_or_else(String::new, |slot| format!("{slot:?}"));
        let state = format!("the run is {} and `{key}` is {slot}", self.projection.state);
        Illegal::Event { event: event.kind(), state }
    }
}
