//! What a store has to write for a list of events: the rows that follow from them, so that neither the engine nor a
//! store knows a rule.

use std::collections::HashMap;

use crate::event::Event;
use crate::id::{MapIndex, TaskKey};
use crate::record::{ClearedRow, Dispatch, RunProjection, TaskRunRow};
use crate::run::{Numbers, Run, Slot};
use crate::state::RunState;
use crate::time::Timestamp;

/// A `work` row to insert or replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatched {
    /// Its run-owned part.
    pub dispatch: Dispatch,
    /// Not before this instant; `None` = at once.
    pub due: Option<Timestamp>,
}

/// The rows of one commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Effects {
    /// The run's row.
    pub run: RunProjection,
    /// `task_run` rows to insert or replace: task runs that are over.
    pub task_runs: Vec<TaskRunRow>,
    /// `task_run` rows to insert or replace: task runs that begin anew. Their keys are in no other `task_run` row here.
    pub cleared: Vec<ClearedRow>,
    /// `work` rows to insert or replace.
    pub dispatched: Vec<Dispatched>,
    /// `work` rows to delete, where they are there; disjoint from `dispatched`.
    pub removed: Vec<TaskKey>,
}

/// Whether a task run begins anew.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Begins {
    /// It goes on, or ends.
    #[default]
    No,
    /// It does, and waits.
    Anew,
    /// It does, and was dispatched since: its last fence and try before.
    After(u32, u32),
}

/// What the events say of one task run.
#[derive(Default)]
struct Touch {
    due: Option<Timestamp>,
    begins: Begins,
    /// It was mapped.
    expanded: bool,
    /// It may have had a row in `work`.
    worked: bool,
}

impl Effects {
    /// From the state after these events (all of one commit, in order) were applied to it.
    pub fn of(run: &Run, events: &[Event]) -> Self {
        let mut touches = Touches::default();
        for event in events {
            touches.take(run, event);
        }
        let mut effects = Self {
            run: run.projection().clone(),
            task_runs: Vec::new(),
            cleared: Vec::new(),
            dispatched: Vec::new(),
            removed: Vec::new(),
        };
        for key in touches.order {
            let Some(touch) = touches.by_key.get(&key) else { continue };
            let expanded_n = run.expanded(&key);
            if let Some(slot) = run.slot_of(&key).or_else(|| run.gone().get(&key)) {
                effects.add(key, touch, slot, expanded_n);
            }
        }
        effects
    }

    fn add(&mut self, key: TaskKey, touch: &Touch, slot: &Slot, expanded_n: Option<u32>) {
        let cleared = |numbers: Numbers, dispatch_no, try_no| ClearedRow {
            key: key.clone(),
            generation: numbers.generation,
            dispatch_no,
            try_no,
            expanded_n,
        };
        match *slot {
            Slot::Waiting(numbers) => {
                if touch.begins != Begins::No || touch.expanded {
                    self.cleared.push(cleared(numbers, numbers.dispatch_no, numbers.try_no));
                }
                if touch.worked {
                    self.removed.push(key);
                }
            }
            Slot::Dispatched(numbers) => {
                if let Begins::After(dispatch_no, try_no) = touch.begins {
                    self.cleared.push(cleared(numbers, dispatch_no, try_no));
                }
                self.dispatched.push(Dispatched {
                    dispatch: Dispatch {
                        key,
                        dispatch_no: numbers.dispatch_no,
                        try_no: numbers.try_no,
                        losses: numbers.losses,
                        generation: numbers.generation,
                    },
                    due: touch.due,
                });
            }
            Slot::Final { numbers, state, cause, started_at, ended_at } => {
                if touch.worked && numbers.dispatch_no > 0 {
                    self.removed.push(key.clone());
                }
                self.task_runs.push(TaskRunRow {
                    key,
                    generation: numbers.generation,
                    dispatch_no: numbers.dispatch_no,
                    try_no: numbers.try_no,
                    losses: numbers.losses,
                    state,
                    cause,
                    started_at,
                    ended_at,
                    expanded_n,
                });
            }
            Slot::Ended { .. } => {}
        }
    }
}

/// The task runs that events speak of, in the order of their first mention.
#[derive(Default)]
struct Touches {
    by_key: HashMap<TaskKey, Touch>,
    order: Vec<TaskKey>,
}

impl Touches {
    fn of(&mut self, key: TaskKey) -> &mut Touch {
        self.by_key.entry(key).or_insert_with_key(|key| {
            self.order.push(key.clone());
            Touch::default()
        })
    }

    fn take(&mut self, run: &Run, event: &Event) {
        match event {
            Event::RunReopened { tasks, .. } => {
                for one in tasks {
                    self.of(one.key()).begins = Begins::Anew;
                }
            }
            Event::TaskCleared { subject, .. } => {
                let touch = self.of(subject.key());
                (touch.begins, touch.worked) = (Begins::Anew, true);
            }
            Event::TaskExpanded { task, .. } => {
                self.of(TaskKey { task: task.clone(), map_index: MapIndex::NONE }).expanded = true;
            }
            Event::TaskDispatched { subject, dispatch_no, try_no, due, .. } => {
                let touch = self.of(subject.key());
                touch.due = *due;
                // The first dispatch of a generation follows directly on the numbers before it.
                if touch.begins == Begins::Anew {
                    touch.begins = Begins::After(dispatch_no - 1, try_no - 1);
                }
                touch.worked = true;
            }
            Event::AttemptEnded { subject, .. } | Event::TaskSet { subject, .. } => {
                let touch = self.of(subject.key());
                (touch.due, touch.worked) = (None, true);
            }
            Event::TaskFinished { subject, .. } => {
                let touch = self.of(subject.key());
                touch.due = None;
                // Without an attempt's end before it: what waited, or what a cancel took back.
                touch.worked |= run.projection().state == RunState::Cancelling || run.projection().state.is_final();
            }
            Event::RunCreated { .. }
            | Event::RunStarted {}
            | Event::RunCancelRequested { .. }
            | Event::RunAborted { .. }
            | Event::RunFinished { .. }
            | Event::RunBroken { .. }
            | Event::RunRepaired { .. } => {}
        }
    }
}
