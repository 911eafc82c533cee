//! From inputs to rows: decides against the cached runs and writes down what one commit must contain. No I/O.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use updraft_model::effects::Effects;
use updraft_model::event::Event;
use updraft_model::id::{AttemptId, RunId, Stamp, TaskKey, WorkerNo};
use updraft_model::input::{AttemptResult, Input, Reject};
use updraft_model::record::{EndedAttempt, RunFacts, WorkRow};
use updraft_model::run::Run;
use updraft_model::state::Place;
use updraft_model::time::Timestamp;
use updraft_store::{Expected, RunCommit};

use super::command::Finish;

/// Longest message kept with an attempt.
const MESSAGE_BYTES: usize = 8 << 10;

/// One run's part of a commit while inputs are added.
pub(crate) struct Part {
    pub expected: Expected,
    pub events: Vec<Event>,
    pub ended: Vec<EndedAttempt>,
}

/// Why a step was not taken.
pub(crate) enum StepError {
    /// The model says no: the state is as before.
    Reject(Reject),
    /// The model panicked (a bug): the state is unusable.
    Panic(String),
}

impl Part {
    pub(crate) fn at(run: &Run) -> Self {
        Self {
            expected: Expected::At { version: run.version(), stamp: run.stamp() },
            events: Vec::new(),
            ended: Vec::new(),
        }
    }

    pub(crate) fn new_run(facts: RunFacts) -> Self {
        Self { expected: Expected::New(Box::new(facts)), events: Vec::new(), ended: Vec::new() }
    }

    /// Takes one input.
    pub(crate) fn step(&mut self, run: &mut Run, input: Input, now: Timestamp) -> Result<(), StepError> {
        match catch_unwind(AssertUnwindSafe(|| run.step(input, now))) {
            Ok(Ok(events)) => {
                self.events.extend(events);
                Ok(())
            }
            Ok(Err(reject)) => Err(StepError::Reject(reject)),
            Err(panic) => Err(StepError::Panic(panic_text(&*panic))),
        }
    }

    /// Takes the result of an attempt.
    pub(crate) fn finish(
        &mut self,
        run: &mut Run,
        finish: &Finish,
        worker: Option<WorkerNo>,
        now: Timestamp,
    ) -> Result<(), StepError> {
        let before = self.events.len();
        let input = Input::Finish {
            key: finish.key.clone(),
            dispatch_no: finish.dispatch_no,
            result: finish.result.clone(),
            started_at: finish.started_at,
            worker,
        };
        self.step(run, input, now)?;
        if let Some(Event::AttemptEnded { outcome, cause, class, .. }) = self.events.get(before) {
            self.ended.push(EndedAttempt {
                key: finish.key.clone(),
                dispatch_no: finish.dispatch_no,
                attempt_id: finish.attempt_id,
                outcome: *outcome,
                cause: *cause,
                class: class.clone(),
                message: message_of(&finish.result),
                started_at: finish.started_at,
                output: finish.output.as_ref().map(|(text, _)| text.clone()),
                items: finish.items.clone(),
                metrics: finish.metrics.clone(),
            });
        }
        Ok(())
    }

    /// Takes what a person asks for; attempts that it ends are those of these rows.
    pub(crate) fn operate(
        &mut self,
        run: &mut Run,
        input: Input,
        executing: &[WorkRow],
        now: Timestamp,
    ) -> Result<(), StepError> {
        let before = self.events.len();
        self.step(run, input, now)?;
        for event in &self.events[before..] {
            let Event::AttemptEnded { subject, dispatch_no, outcome, cause, started_at, .. } = event else { continue };
            let row = executing.iter().find(|row| row.dispatch.key == subject.key());
            let Some(attempt_id) = row.and_then(|row| row.attempt_id) else { continue };
            self.ended.push(EndedAttempt {
                key: subject.key(),
                dispatch_no: *dispatch_no,
                attempt_id,
                outcome: *outcome,
                cause: *cause,
                class: None,
                message: None,
                started_at: *started_at,
                output: None,
                items: Vec::new(),
                metrics: Vec::new(),
            });
        }
        Ok(())
    }

    /// The rows; new `work` rows stand in place `r` or `t`.
    pub(crate) fn close(self, run: &Run, stamp: Stamp, actor: String, now: Timestamp) -> RunCommit {
        let effects = Effects::of(run, &self.events);
        let facts = run.facts();
        let work = effects
            .dispatched
            .into_iter()
            .map(|dispatched| {
                let due_at = dispatched.due.filter(|due| *due > now);
                WorkRow {
                    run_id: facts.run_id,
                    dispatch: dispatched.dispatch,
                    place: if due_at.is_some() { Place::Timer } else { Place::Ready },
                    due_at,
                    queue: facts.queue.clone(),
                    rank: updraft_model::rank(due_at.unwrap_or(now), facts.priority),
                    worker_no: None,
                    attempt_id: None,
                    claimed_at: None,
                    cancel_at: None,
                }
            })
            .collect();
        RunCommit {
            run_id: facts.run_id,
            expected: self.expected,
            stamp,
            actor,
            events: self.events,
            run: effects.run,
            ended: self.ended,
            task_runs: effects.task_runs,
            cleared: effects.cleared,
            work,
            removed: effects.removed,
        }
    }
}

/// Turns a ready row into one that this worker executes.
pub(crate) fn claim(row: &mut WorkRow, worker_no: WorkerNo, attempt_id: AttemptId, now: Timestamp) {
    row.place = Place::Executing;
    row.worker_no = Some(worker_no);
    row.attempt_id = Some(attempt_id);
    row.claimed_at = Some(now);
}

/// The queues that this worker serves, with what is known of their heads: `None` = nothing ready that we know of.
#[derive(Default)]
pub(crate) struct Heads(HashMap<String, Option<i64>>);

impl Heads {
    pub(crate) fn serve(&mut self, queue: String) {
        self.0.entry(queue).or_insert(None);
    }

    pub(crate) fn forget(&mut self, queue: &str) {
        self.0.remove(queue);
    }

    /// Whether a row of this rank may be taken at once: we serve its queue and know of nothing better in it (F21).
    pub(crate) fn beats(&self, row: &WorkRow) -> bool {
        self.0.get(&row.queue).is_some_and(|head| head.is_none_or(|head| row.rank <= head))
    }

    /// A ready row went into the store.
    pub(crate) fn added(&mut self, row: &WorkRow) {
        if let Some(head) = self.0.get_mut(&row.queue) {
            *head = Some(head.map_or(row.rank, |head| head.min(row.rank)));
        }
    }

    /// Something may be ready.
    pub(crate) fn look(&mut self, queue: Option<&str>) {
        for (name, head) in &mut self.0 {
            if queue.is_none_or(|queue| queue == name) {
                *head = Some(i64::MIN);
            }
        }
    }

    /// What a claim of `asked` rows found.
    pub(crate) fn claimed(&mut self, queue: &str, asked: usize, rows: &[WorkRow]) {
        if let Some(head) = self.0.get_mut(queue) {
            *head = if rows.len() < asked { None } else { rows.iter().map(|row| row.rank).max() };
        }
    }

    /// The queue whose head is best.
    pub(crate) fn best(&self) -> Option<&str> {
        self.0.iter().filter_map(|(name, head)| head.map(|head| (head, name.as_str()))).min().map(|(_, name)| name)
    }
}

/// The full message of a result, bounded and storable.
fn message_of(result: &AttemptResult) -> Option<String> {
    let text = match result {
        AttemptResult::Skipped { reason } | AttemptResult::Unwanted { reason } => reason,
        AttemptResult::Failed { message, .. }
        | AttemptResult::TimedOut { message }
        | AttemptResult::Panicked { message }
        | AttemptResult::Rejected { message, .. } => message,
        AttemptResult::Lost { message, .. } if !message.is_empty() => message,
        AttemptResult::Succeeded { .. } | AttemptResult::Lost { .. } | AttemptResult::Cancelled => return None,
    };
    Some(storable(text, MESSAGE_BYTES))
}

/// Cuts at a character's border and replaces NUL, which databases refuse.
pub(crate) fn storable(text: &str, limit_bytes: usize) -> String {
    let mut end = text.len().min(limit_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let cut = text[..end].replace('\0', "\u{FFFD}");
    if end < text.len() { format!("{cut} … ({} bytes more)", text.len() - end) } else { cut }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// Drops of results, told in one way.
pub(crate) fn dropped(run_id: RunId, key: &TaskKey, dispatch_no: u32, why: &str) -> String {
    format!("the result of attempt {dispatch_no} of `{key}` in run {run_id} was dropped: {why}")
}
