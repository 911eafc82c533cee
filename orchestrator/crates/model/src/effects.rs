//! What a store has to write for a list of events: the rows that follow from them, so that neither the engine nor a
//! store knows a rule.

use std::collections::HashMap;

use crate::event::Event;
use crate::id::TaskKey;
use crate::record::{Dispatch, RunProjection, TaskRunRow};
use crate::run::{Run, Slot};
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
    /// `task_run` rows to insert or replace.
    pub task_runs: Vec<TaskRunRow>,
    /// `work` rows to insert or replace.
    pub dispatched: Vec<Dispatched>,
    /// `work` rows to delete; disjoint from `dispatched`.
    pub removed: Vec<TaskKey>,
}

impl Effects {
    /// From the state after these events (all of one commit, in order) were applied to it.
    pub fn of(run: &Run, events: &[Event]) -> Self {
        let mut due = HashMap::new();
        let mut touched = Vec::new();
        for event in events {
            if let Some(subject) = event.subject() {
                let Some(task) = run.position(&subject.key()) else { continue };
                let at = match event {
                    Event::TaskDispatched { due, .. } => *due,
                    Event::RunCreated { .. }
                    | Event::RunStarted {}
                    | Event::RunCancelRequested { .. }
                    | Event::RunAborted { .. }
                    | Event::RunFinished { .. }
                    | Event::RunBroken { .. }
                    | Event::RunRepaired { .. }
                    | Event::AttemptEnded { .. }
                    | Event::TaskFinished { .. } => None,
                };
                if due.insert(task, at).is_none() {
                    touched.push(task);
                }
            }
        }
        let mut effects =
            Self { run: run.projection().clone(), task_runs: Vec::new(), dispatched: Vec::new(), removed: Vec::new() };
        for task in touched {
            let key = run.key(task);
            match *run.slot(task) {
                Slot::Dispatched(numbers) => effects.dispatched.push(Dispatched {
                    dispatch: Dispatch {
                        key,
                        dispatch_no: numbers.dispatch_no,
                        try_no: numbers.try_no,
                        losses: numbers.losses,
                        generation: numbers.generation,
                    },
                    due: due.get(&task).copied().flatten(),
                }),
                Slot::Final { numbers, state, cause, started_at, ended_at } => {
                    if numbers.dispatch_no > 0 {
                        effects.removed.push(key.clone());
                    }
                    effects.task_runs.push(TaskRunRow {
                        key,
                        generation: numbers.generation,
                        dispatch_no: numbers.dispatch_no,
                        try_no: numbers.try_no,
                        losses: numbers.losses,
                        state,
                        cause,
                        started_at,
                        ended_at,
                    });
                }
                Slot::Waiting | Slot::Ended { .. } => {}
            }
        }
        effects
    }
}
