//! What an event does to the cached state. Consumes events only: no clock, no rule that could say something else later.

use crate::event::{Event, Subject};
use crate::graph::TaskIndex;
use crate::id::TaskKey;
use crate::run::{Numbers, Run, Slot};
use crate::state::{Cause, RunState};
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
}

impl Run {
    /// Takes in one event. After an error the state is as before.
    ///
    /// # Errors
    /// The event cannot happen in this state.
    pub fn apply(&mut self, event: &Event, at: Timestamp) -> Result<(), Illegal> {
        let state = self.projection.state;
        let exists = self.events > 0;
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
                self.projection.started_at = Some(at);
            }
            Event::RunCancelRequested { .. } => self.stop(event, Cause::CancelRequested, exists)?,
            Event::RunAborted { cause } => self.stop(event, *cause, exists)?,
            Event::RunFinished { outcome, cause } => {
                if !self.is_live() || self.open > 0 || !outcome.is_final() {
                    return Err(self.illegal(event));
                }
                self.projection.state = *outcome;
                self.projection.cause = Some(*cause);
                self.projection.ended_at = Some(at);
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
            Event::TaskDispatched { subject, dispatch_no, try_no, generation, losses, .. } => {
                let (task, slot) = self.subject(subject)?;
                let numbers =
                    Numbers { dispatch_no: *dispatch_no, try_no: *try_no, losses: *losses, generation: *generation };
                match slot {
                    Slot::Waiting if state == RunState::Running && *dispatch_no > 0 => {
                        self.dispatched += 1;
                        self.startable.remove(&task);
                    }
                    Slot::Ended { numbers: before, .. }
                        if state == RunState::Running && *dispatch_no > before.dispatch_no => {}
                    Slot::Waiting | Slot::Ended { .. } | Slot::Dispatched(_) | Slot::Final { .. } => {
                        return Err(self.illegal_task(event, subject));
                    }
                }
                self.slots[task as usize] = Slot::Dispatched(numbers);
            }
            Event::AttemptEnded { subject, dispatch_no, started_at, .. } => {
                let (task, slot) = self.subject(subject)?;
                match slot {
                    Slot::Dispatched(numbers) if self.is_live() && numbers.dispatch_no == *dispatch_no => {
                        self.slots[task as usize] = Slot::Ended { numbers, started_at: *started_at };
                    }
                    Slot::Dispatched(_) | Slot::Waiting | Slot::Ended { .. } | Slot::Final { .. } => {
                        return Err(self.illegal_task(event, subject));
                    }
                }
            }
            Event::TaskFinished { subject, dispatch_no, state, cause } => {
                let (task, slot) = self.subject(subject)?;
                let (numbers, started_at, was_dispatched) = match (slot, dispatch_no) {
                    (Slot::Waiting, None) if self.is_live() => (Numbers::default(), None, false),
                    // A cancel deleted its row in `work`.
                    (Slot::Dispatched(numbers), None) if self.projection.state == RunState::Cancelling => {
                        (numbers, None, true)
                    }
                    (Slot::Ended { numbers, started_at }, Some(by)) if self.is_live() && numbers.dispatch_no == *by => {
                        (numbers, started_at, true)
                    }
                    (Slot::Waiting | Slot::Dispatched(_) | Slot::Ended { .. } | Slot::Final { .. }, _) => {
                        return Err(self.illegal_task(event, subject));
                    }
                };
                self.dispatched -= u32::from(was_dispatched);
                self.end(task, numbers, (*state, *cause), started_at, at);
            }
        }
        self.events += 1;
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

    fn subject(&self, subject: &Subject) -> Result<(TaskIndex, Slot), Illegal> {
        let task = self.known(&subject.key())?;
        Ok((task, self.slots[task as usize]))
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
