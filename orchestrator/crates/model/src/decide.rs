//! What follows from an input: a pure function of a run's state, the input and an instant. It changes nothing; the
//! events it answers are then applied.
//!
//! Costs follow what changes: a finish costs its out-degree, not the size of the run.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use crate::event::{Event, Subject};
use crate::graph::TaskIndex;
use crate::id::{TaskId, TaskKey, WorkerNo};
use crate::input::{AttemptResult, CLASS_PANIC, CLASS_SKIPPED, CLASS_TIMEOUT, Halted, Input, Reject, Retryable};
use crate::judge::{Counts, Verdict, judge};
use crate::retry::jitter_unit;
use crate::run::{Numbers, Run, Slot, counts_as_failure};
use crate::state::{Cause, DispatchWhy, FinalState, Outcome, RunState};
use crate::time::Timestamp;

/// Losses that a task run survives; the next one ends it. Losses by a drain are not counted: they say nothing about
/// the task.
pub const LOSS_BUDGET: u32 = 3;

/// Most characters of a message inside an event.
pub const MESSAGE_CHARS: usize = 500;

/// Decides what an input means for a run.
///
/// # Errors
/// Why it changes nothing.
pub fn decide(run: &Run, input: Input, now: Timestamp) -> Result<Vec<Event>, Reject> {
    let mut draft = Draft::of(run);
    match input {
        Input::Create { by, conf_sha256, only } => draft.create(by, conf_sha256, only)?,
        Input::Start => draft.start()?,
        Input::Finish { key, dispatch_no, result, started_at, worker } => {
            draft.finish(&Attempt { key, dispatch_no, started_at, worker }, result, now)?;
        }
        Input::Cancel { by, reason, halted } => {
            draft.may_stop()?;
            let reason = shorten(reason);
            draft.events.push(Event::RunCancelRequested { by, reason });
            draft.halt(Cause::CancelRequested, &halted)?;
        }
        Input::Abort { cause, halted } => {
            draft.may_stop()?;
            if !matches!(cause, Cause::RunTimeout | Cause::EventLimit) {
                return Err(Reject::BadCause(cause));
            }
            draft.events.push(Event::RunAborted { cause });
            draft.halt(cause, &halted)?;
        }
        Input::Refresh => draft.refresh()?,
        Input::Break { code, detail } => {
            draft.exists()?;
            let detail = shorten(detail);
            match run.projection.state {
                RunState::Queued | RunState::Running | RunState::Cancelling => {
                    draft.events.push(Event::RunBroken { code, detail });
                }
                RunState::Broken => return Err(Reject::Broken),
                over @ (RunState::Succeeded | RunState::Failed | RunState::Cancelled) => {
                    return Err(Reject::RunOver(over));
                }
            }
        }
        Input::Repair { by } => {
            draft.exists()?;
            match run.projection.state {
                RunState::Broken => draft.events.push(Event::RunRepaired { by }),
                RunState::Queued | RunState::Running | RunState::Cancelling => return Err(Reject::NotBroken),
                over @ (RunState::Succeeded | RunState::Failed | RunState::Cancelled) => {
                    return Err(Reject::RunOver(over));
                }
            }
        }
    }
    Ok(draft.events)
}

impl Run {
    /// Decides and applies: the state afterwards holds as soon as the events are committed, see [`Run::committed`].
    ///
    /// # Errors
    /// Why the input changes nothing; the state is as before.
    pub fn step(&mut self, input: Input, now: Timestamp) -> Result<Vec<Event>, Reject> {
        let events = decide(self, input, now)?;
        for event in &events {
            self.apply(event, now).expect("what `decide` answers follows from the state it was asked about");
        }
        Ok(events)
    }
}

/// The attempt that an input is about.
struct Attempt {
    key: TaskKey,
    dispatch_no: u32,
    started_at: Option<Timestamp>,
    worker: Option<WorkerNo>,
}

/// How a result is recorded.
struct Ending {
    outcome: Outcome,
    cause: Cause,
    class: Option<String>,
    message: Option<String>,
    bytes: u32,
}

/// What a result means for its task run.
enum Next {
    Over(FinalState, Cause),
    Again { numbers: Numbers, why: DispatchWhy, due: Option<Timestamp> },
}

/// The state as it will be after the events so far, kept as differences to a run.
struct Draft<'a> {
    run: &'a Run,
    events: Vec<Event>,
    state: RunState,
    chosen: Option<Vec<bool>>,
    counts: HashMap<TaskIndex, Counts>,
    over: HashMap<TaskIndex, FinalState>,
    startable: BTreeSet<TaskIndex>,
    open: u32,
    dispatched: u32,
    failures: u32,
    cause: Option<Cause>,
}

impl<'a> Draft<'a> {
    fn of(run: &'a Run) -> Self {
        Self {
            run,
            events: Vec::new(),
            state: run.projection.state,
            chosen: None,
            counts: HashMap::new(),
            over: HashMap::new(),
            startable: BTreeSet::new(),
            open: run.open,
            dispatched: run.dispatched,
            failures: run.failures,
            cause: run.projection.cause,
        }
    }

    fn exists(&self) -> Result<(), Reject> {
        if self.run.events == 0 { Err(Reject::NotCreated) } else { Ok(()) }
    }

    fn create(&mut self, by: String, conf_sha256: String, only: Option<Vec<TaskId>>) -> Result<(), Reject> {
        if self.run.events > 0 {
            return Err(Reject::Exists);
        }
        for task in only.iter().flatten() {
            if self.run.compiled.graph.position(task.as_str()).is_none() {
                return Err(Reject::UnknownTask(task.clone()));
            }
        }
        let facts = &self.run.facts;
        self.events.push(Event::RunCreated {
            workflow: facts.workflow_id,
            version_id: facts.version_id,
            run_key: facts.run_key.clone(),
            trigger: facts.trigger,
            interval: facts.interval,
            logical_at: facts.logical_at,
            priority: facts.priority,
            by,
            conf_sha256,
            only,
        });
        Ok(())
    }

    fn start(&mut self) -> Result<(), Reject> {
        self.exists()?;
        match self.state {
            RunState::Queued => {}
            RunState::Running | RunState::Cancelling => return Err(Reject::Started),
            RunState::Broken => return Err(Reject::Broken),
            over @ (RunState::Succeeded | RunState::Failed | RunState::Cancelled) => return Err(Reject::RunOver(over)),
        }
        self.events.push(Event::RunStarted {});
        self.state = RunState::Running;
        self.fill();
        Ok(())
    }

    fn refresh(&mut self) -> Result<(), Reject> {
        self.is_running()?;
        if self.state == RunState::Running {
            for task in self.run.compiled.graph.indices() {
                self.judge(task);
            }
            self.fill();
        } else {
            self.close();
        }
        Ok(())
    }

    /// Attempts may come back.
    fn is_running(&self) -> Result<(), Reject> {
        self.exists()?;
        match self.state {
            RunState::Running | RunState::Cancelling => Ok(()),
            RunState::Queued => Err(Reject::NotStarted),
            RunState::Broken => Err(Reject::Broken),
            over @ (RunState::Succeeded | RunState::Failed | RunState::Cancelled) => Err(Reject::RunOver(over)),
        }
    }

    fn may_stop(&self) -> Result<(), Reject> {
        self.exists()?;
        match self.state {
            RunState::Queued | RunState::Running => Ok(()),
            RunState::Cancelling => Err(Reject::Stopping),
            RunState::Broken => Err(Reject::Broken),
            over @ (RunState::Succeeded | RunState::Failed | RunState::Cancelled) => Err(Reject::RunOver(over)),
        }
    }

    fn finish(&mut self, attempt: &Attempt, result: AttemptResult, now: Timestamp) -> Result<(), Reject> {
        self.is_running()?;
        let task = self.task(&attempt.key)?;
        let numbers = match *self.run.slot(task) {
            Slot::Dispatched(numbers) if numbers.dispatch_no == attempt.dispatch_no => numbers,
            Slot::Dispatched(numbers) => {
                return Err(fenced(attempt, format!("{} is", numbers.dispatch_no)));
            }
            Slot::Waiting | Slot::Ended { .. } => return Err(fenced(attempt, "it is not dispatched".to_owned())),
            Slot::Final { state, .. } => return Err(fenced(attempt, format!("it ended as {state}"))),
        };
        check_cause(&result)?;
        let next = self.next(task, numbers, &result, now);
        let ending = ending(result);
        let subject = Subject::from(&attempt.key);
        self.events.push(Event::AttemptEnded {
            subject: subject.clone(),
            dispatch_no: attempt.dispatch_no,
            outcome: ending.outcome,
            cause: ending.cause,
            class: ending.class,
            message: ending.message.map(shorten),
            started_at: attempt.started_at,
            worker: attempt.worker,
            bytes: ending.bytes,
        });
        match next {
            Next::Again { numbers, why, due } => self.events.push(dispatch(subject, numbers, why, due)),
            Next::Over(state, cause) => {
                self.dispatched -= 1;
                self.end(task, Some(attempt.dispatch_no), state, cause);
            }
        }
        self.fill();
        Ok(())
    }

    fn task(&self, key: &TaskKey) -> Result<TaskIndex, Reject> {
        let Some(task) = self.run.compiled.graph.position(key.task.as_str()) else {
            return Err(Reject::UnknownTask(key.task.clone()));
        };
        if !self.run.chosen[task as usize] {
            return Err(Reject::NotChosen(key.task.clone()));
        }
        self.run.position(key).ok_or_else(|| Reject::NotMapped(key.clone()))
    }

    /// What a result means: over, or once more.
    fn next(&self, task: TaskIndex, numbers: Numbers, result: &AttemptResult, now: Timestamp) -> Next {
        match result {
            AttemptResult::Succeeded { .. } => Next::Over(FinalState::Succeeded, Cause::Task),
            AttemptResult::Skipped { .. } => Next::Over(FinalState::Skipped, Cause::Task),
            AttemptResult::Cancelled => Next::Over(FinalState::Cancelled, self.stop_cause()),
            AttemptResult::Rejected { cause, .. } => Next::Over(FinalState::Failed, *cause),
            AttemptResult::Failed { class, retryable, .. } => {
                self.after_failure(task, numbers, class, *retryable, Cause::Task, now)
            }
            AttemptResult::TimedOut { .. } => {
                self.after_failure(task, numbers, CLASS_TIMEOUT, Retryable::YES, Cause::Timeout, now)
            }
            AttemptResult::Panicked { .. } => {
                self.after_failure(task, numbers, CLASS_PANIC, Retryable::YES, Cause::Panic, now)
            }
            AttemptResult::Lost { cause } => {
                let counted = u32::from(*cause != Cause::Drained);
                if self.is_stopping() {
                    Next::Over(FinalState::Cancelled, self.stop_cause())
                } else if numbers.losses + counted > LOSS_BUDGET {
                    Next::Over(FinalState::Failed, Cause::LossBudget)
                } else {
                    Next::Again {
                        numbers: Numbers {
                            dispatch_no: numbers.dispatch_no + 1,
                            losses: numbers.losses + counted,
                            ..numbers
                        },
                        why: DispatchWhy::Lost,
                        due: None,
                    }
                }
            }
        }
    }

    fn after_failure(
        &self,
        task: TaskIndex,
        numbers: Numbers,
        class: &str,
        retryable: Retryable,
        cause: Cause,
        now: Timestamp,
    ) -> Next {
        let policy = &self.run.compiled.task(task).retry;
        let after = match retryable {
            Retryable::After(span) if numbers.try_no <= policy.limit && policy.covers(class) => span,
            Retryable::After(_) | Retryable::Never => return Next::Over(FinalState::Failed, cause),
        };
        if self.is_stopping() {
            return Next::Over(FinalState::Cancelled, self.stop_cause());
        }
        let u = jitter_unit(self.run.facts.run_id, &self.run.key(task), numbers.generation, numbers.try_no);
        let wait: Duration = policy.wait(numbers.try_no, u).max(after);
        Next::Again {
            numbers: Numbers { dispatch_no: numbers.dispatch_no + 1, try_no: numbers.try_no + 1, ..numbers },
            why: DispatchWhy::Retry,
            due: Some(now + wait),
        }
    }

    /// Nothing is dispatched any more.
    fn is_stopping(&self) -> bool {
        self.state != RunState::Running || self.is_over_limit()
    }

    fn is_over_limit(&self) -> bool {
        self.run.events + self.events.len() as u64 >= self.run.limits.max_events
    }

    fn stop_cause(&self) -> Cause {
        match self.cause {
            Some(cause) => cause,
            None if self.is_over_limit() => Cause::EventLimit,
            None => Cause::CancelRequested,
        }
    }

    /// Ends every task run that does not execute, and the run if none does.
    fn halt(&mut self, cause: Cause, halted: &Halted) -> Result<(), Reject> {
        self.state = RunState::Cancelling;
        self.cause = Some(cause);
        let mut known = HashMap::with_capacity(halted.removed.len() + halted.executing.len());
        for (keys, executes) in [(&halted.removed, false), (&halted.executing, true)] {
            for key in keys {
                let task = self.run.position(key).ok_or_else(|| Reject::Inconsistent(key.clone()))?;
                if known.insert(task, executes).is_some() {
                    return Err(Reject::Inconsistent(key.clone()));
                }
            }
        }
        for task in self.run.compiled.graph.indices() {
            let slot = self.run.slot(task);
            let ends = match (slot, known.get(&task)) {
                (Slot::Dispatched(_), Some(true)) | (Slot::Final { .. }, None) => false,
                (Slot::Dispatched(_), Some(false)) => {
                    self.dispatched -= 1;
                    true
                }
                (Slot::Waiting, None) => self.is_chosen(task),
                (Slot::Waiting | Slot::Final { .. } | Slot::Ended { .. }, Some(_))
                | (Slot::Dispatched(_) | Slot::Ended { .. }, None) => {
                    return Err(Reject::Inconsistent(self.run.key(task)));
                }
            };
            if ends {
                self.end(task, None, FinalState::Cancelled, cause);
            }
        }
        self.close();
        Ok(())
    }

    fn is_chosen(&self, task: TaskIndex) -> bool {
        self.chosen.as_ref().unwrap_or(&self.run.chosen)[task as usize]
    }

    /// Ends a task run and everything that can now never start.
    fn end(&mut self, task: TaskIndex, dispatch_no: Option<u32>, state: FinalState, cause: Cause) {
        let mut ended = VecDeque::from([(task, dispatch_no, state, cause)]);
        while let Some((task, dispatch_no, state, cause)) = ended.pop_front() {
            if self.over.insert(task, state).is_some() {
                continue;
            }
            self.events.push(Event::TaskFinished {
                subject: Subject::from(&self.run.key(task)),
                dispatch_no,
                state,
                cause,
            });
            self.open -= 1;
            self.failures += u32::from(counts_as_failure(&self.run.compiled, task, state));
            for &child in self.run.compiled.graph.downstream(task) {
                let counts = self.counts.entry(child).or_insert(self.run.counts[child as usize]);
                counts.add(state);
                if self.state == RunState::Running
                    && let Some((state, cause)) = self.verdict(child)
                {
                    ended.push_back((child, None, state, cause));
                }
            }
        }
    }

    fn judge(&mut self, task: TaskIndex) {
        if let Some((state, cause)) = self.verdict(task) {
            self.end(task, None, state, cause);
        }
    }

    /// Judges a waiting task: notes it as startable, or says how it ends without ever starting.
    fn verdict(&mut self, task: TaskIndex) -> Option<(FinalState, Cause)> {
        let waits = *self.run.slot(task) == Slot::Waiting && self.is_chosen(task) && !self.over.contains_key(&task);
        if !waits || self.run.startable.contains(&task) || self.startable.contains(&task) {
            return None;
        }
        let counts = self.counts.get(&task).copied().unwrap_or(self.run.counts[task as usize]);
        match judge(self.run.compiled.task(task).trigger_rule, counts) {
            Verdict::Wait => None,
            Verdict::Start => {
                self.startable.insert(task);
                None
            }
            Verdict::Skip(cause) => Some((FinalState::Skipped, cause)),
            Verdict::UpstreamFailed(cause) => Some((FinalState::UpstreamFailed, cause)),
        }
    }

    /// Dispatches what has a place, in file order, and ends the run if nothing is left.
    fn fill(&mut self) {
        if self.state == RunState::Running && !self.is_over_limit() {
            let mut places = self.run.width().saturating_sub(self.dispatched);
            let (mut old, mut new) = (self.run.startable.iter().peekable(), self.startable.iter().peekable());
            while places > 0 {
                let task = match (old.peek(), new.peek()) {
                    (None, None) => break,
                    (Some(_), None) => old.next(),
                    (None, Some(_)) => new.next(),
                    (Some(a), Some(b)) => if a < b { old.next() } else { new.next() },
                };
                let Some(&task) = task else { break };
                if self.over.contains_key(&task) {
                    continue;
                }
                places -= 1;
                self.dispatched += 1;
                let numbers = Numbers { dispatch_no: 1, try_no: 1, losses: 0, generation: 0 };
                let subject = Subject::from(&self.run.key(task));
                self.events.push(dispatch(subject, numbers, DispatchWhy::First, None));
            }
        }
        self.close();
    }

    /// Ends the run if nothing of it is open; one that passed its event limit as soon as nothing is dispatched.
    fn close(&mut self) {
        if self.dispatched > 0 {
            return;
        }
        if self.open > 0 {
            if self.state != RunState::Running || !self.is_over_limit() {
                return;
            }
            self.events.push(Event::RunAborted { cause: Cause::EventLimit });
            self.state = RunState::Cancelling;
            self.cause = Some(Cause::EventLimit);
            for task in self.run.compiled.graph.indices() {
                if *self.run.slot(task) == Slot::Waiting && self.is_chosen(task) {
                    self.end(task, None, FinalState::Cancelled, Cause::EventLimit);
                }
            }
        }
        let (outcome, cause) = match self.cause {
            Some(Cause::CancelRequested) => (RunState::Cancelled, Cause::CancelRequested),
            Some(limit) => (RunState::Failed, limit),
            None if self.failures > 0 => (RunState::Failed, Cause::TaskFailed),
            None => (RunState::Succeeded, Cause::Completed),
        };
        self.events.push(Event::RunFinished { outcome, cause });
        self.state = outcome;
    }
}

fn dispatch(subject: Subject, numbers: Numbers, why: DispatchWhy, due: Option<Timestamp>) -> Event {
    Event::TaskDispatched {
        subject,
        dispatch_no: numbers.dispatch_no,
        try_no: numbers.try_no,
        generation: numbers.generation,
        losses: numbers.losses,
        why,
        due,
    }
}

fn fenced(attempt: &Attempt, current: String) -> Reject {
    Reject::Fenced { key: attempt.key.clone(), dispatch_no: attempt.dispatch_no, current }
}

fn check_cause(result: &AttemptResult) -> Result<(), Reject> {
    match result {
        AttemptResult::Lost { cause } if !matches!(cause, Cause::WorkerDied | Cause::Orphaned | Cause::Drained) => {
            Err(Reject::BadCause(*cause))
        }
        AttemptResult::Rejected { cause, .. }
            if !matches!(cause, Cause::BadParameters | Cause::BadOutput | Cause::StoreRejected) =>
        {
            Err(Reject::BadCause(*cause))
        }
        AttemptResult::Succeeded { .. }
        | AttemptResult::Skipped { .. }
        | AttemptResult::Failed { .. }
        | AttemptResult::TimedOut { .. }
        | AttemptResult::Panicked { .. }
        | AttemptResult::Lost { .. }
        | AttemptResult::Cancelled
        | AttemptResult::Rejected { .. } => Ok(()),
    }
}

fn ending(result: AttemptResult) -> Ending {
    let plain = |outcome, cause| Ending { outcome, cause, class: None, message: None, bytes: 0 };
    let error = |outcome, cause, class: String, message| Ending {
        class: Some(class),
        message: Some(message),
        ..plain(outcome, cause)
    };
    match result {
        AttemptResult::Succeeded { bytes } => Ending { bytes, ..plain(Outcome::Succeeded, Cause::Task) },
        AttemptResult::Skipped { reason } => error(Outcome::Skipped, Cause::Task, CLASS_SKIPPED.to_owned(), reason),
        AttemptResult::Failed { class, message, .. } => error(Outcome::Failed, Cause::Task, class, message),
        AttemptResult::TimedOut { message } => {
            error(Outcome::TimedOut, Cause::Timeout, CLASS_TIMEOUT.to_owned(), message)
        }
        AttemptResult::Panicked { message } => error(Outcome::Failed, Cause::Panic, CLASS_PANIC.to_owned(), message),
        AttemptResult::Lost { cause } => plain(Outcome::Lost, cause),
        AttemptResult::Cancelled => plain(Outcome::Cancelled, Cause::CancelRequested),
        AttemptResult::Rejected { cause, class, message } => error(Outcome::Failed, cause, class, message),
    }
}

/// At most [`MESSAGE_CHARS`] characters; what is cut off is marked.
pub fn shorten(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(MESSAGE_CHARS)
        && let Some((keep, _)) = text[..at].char_indices().next_back()
    {
        text.truncate(keep);
        text.push('…');
    }
    text
}
