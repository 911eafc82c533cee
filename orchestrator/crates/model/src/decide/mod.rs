//! What follows from an input: a pure function of a run's state, the input and an instant. It changes nothing; the
//! events it answers are then applied.
//!
//! `result.rs` holds what an attempt's result means for its task run; here is what that means for the run.
//!
//! Costs follow what changes: a finish costs its out-degree, not the size of the run.

mod mark;
mod result;
mod retry;

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::change::outcome;
use crate::event::{Event, Subject};
use crate::graph::TaskIndex;
use crate::id::{TaskId, TaskKey, WorkerNo};
use crate::input::{AttemptResult, Halted, Input, Reject, Target};
use crate::judge::{Counts, Verdict, judge};
use crate::mapped::{self, At, Mapped};
use crate::run::{Numbers, Run, Slot, counts_as_failure};
use crate::state::{Cause, DispatchWhy, FinalState, RunState};
use crate::time::Timestamp;

pub use result::LOSS_BUDGET;
use result::{Next, check_cause, ending};

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
        Input::Expand { task, n } => return expand(run, task, n, now),
        Input::Start => draft.start()?,
        Input::Finish { key, dispatch_no, result, started_at, worker } => {
            draft.finish(&Attempt { key, dispatch_no, started_at, worker }, result, now)?;
        }
        Input::Cancel { by, reason, halted } => {
            draft.may_stop()?;
            let (by, reason) = (shorten(by), shorten(reason));
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
        Input::Retry(retry) => return retry::decide(run, *retry, now),
        Input::Mark(mark) => return mark::decide(run, *mark, now),
        Input::Refresh => draft.refresh()?,
        Input::Break { code, detail } => {
            draft.exists()?;
            let (code, detail) = (shorten(code), shorten(detail));
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
                RunState::Broken => draft.events.push(Event::RunRepaired { by: shorten(by) }),
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
    ///
    /// # Panics
    /// If `decide` and `apply` disagree, which is a bug; the state is then unusable (F42).
    pub fn step(&mut self, input: Input, now: Timestamp) -> Result<Vec<Event>, Reject> {
        let target = input.target().cloned();
        let events = decide(self, input, now)?;
        if let Some(target) = target {
            self.bring(target);
        }
        for event in &events {
            self.apply(event, now).expect("what `decide` answers follows from the state it was asked about");
        }
        self.next = None;
        Ok(events)
    }
}

/// The run as it will be after these events, for deciding on from there.
fn after(run: &Run, target: Option<Target>, events: &[Event], now: Timestamp) -> Run {
    let mut after = run.clone();
    after.next = target;
    for event in events {
        after.apply(event, now).expect("what `decide` answers follows from the state it was asked about");
    }
    after
}

/// A task that has not begun is mapped: what is startable starts as so many instances.
fn expand(run: &Run, task: TaskId, n: u32, now: Timestamp) -> Result<Vec<Event>, Reject> {
    let draft = Draft::of(run);
    draft.may_stop()?;
    let at = draft.task(&TaskKey::of(task.clone()))?;
    let Slot::Waiting(numbers) = *run.slot(at.task) else { return Err(Reject::Begun(task)) };
    if run.mapped(at.task).is_some() {
        return Err(Reject::Begun(task));
    }
    if i32::try_from(n).is_err() {
        return Err(Reject::NoInstance(TaskKey::of(task), n));
    }
    let mut events = vec![Event::TaskExpanded { task, n, generation: numbers.generation }];
    if run.projection.state == RunState::Running {
        let next = after(run, None, &events, now);
        let mut draft = Draft::of(&next);
        draft.judge(at.task);
        draft.fill();
        events.append(&mut draft.events);
    }
    Ok(events)
}

/// The attempt that an input is about.
struct Attempt {
    key: TaskKey,
    dispatch_no: u32,
    started_at: Option<Timestamp>,
    worker: Option<WorkerNo>,
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
    /// The instance that has ended.
    ended: Option<(At, FinalState, Cause)>,
    open: u32,
    dispatched: u32,
    failures: u32,
    blocked: u32,
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
            ended: None,
            open: run.open,
            dispatched: run.dispatched,
            failures: run.failures,
            blocked: run.blocked,
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
        let only = only.map(|tasks| self.with_upstreams(&tasks)).transpose()?;
        let facts = &self.run.facts;
        self.events.push(Event::RunCreated {
            workflow: facts.workflow_id,
            version_id: facts.version_id,
            run_key: facts.run_key.clone(),
            trigger: facts.trigger,
            interval: facts.interval,
            logical_at: facts.logical_at,
            priority: facts.priority,
            by: shorten(by),
            conf_sha256,
            only,
        });
        Ok(())
    }

    /// These tasks and everything upstream of them, in file order.
    fn with_upstreams(&self, tasks: &[TaskId]) -> Result<Vec<TaskId>, Reject> {
        let graph = &self.run.compiled.graph;
        let chosen = tasks
            .iter()
            .map(|task| graph.position(task.as_str()).ok_or_else(|| Reject::UnknownTask(task.clone())))
            .collect::<Result<Vec<_>, _>>()?;
        let inside = graph.upstream_closure(chosen);
        Ok(graph.indices().filter(|&task| inside[task as usize]).map(|task| graph.id(task).clone()).collect())
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
        // One that was re-opened and had to wait: of what begins anew, some may have nothing to wait for but its end.
        // So may a task without instances.
        if self.run.projection.generation > 0 || !self.run.instances.is_empty() {
            for task in self.run.compiled.graph.indices() {
                self.judge(task);
            }
        }
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
        let at = self.task(&attempt.key)?;
        let Some(slot) = self.run.slot_at(at).copied() else { return Err(Reject::NotMapped(attempt.key.clone())) };
        let numbers = match slot {
            Slot::Dispatched(numbers) if numbers.dispatch_no == attempt.dispatch_no => numbers,
            Slot::Dispatched(numbers) => {
                return Err(fenced(attempt, format!("{} is", numbers.dispatch_no)));
            }
            Slot::Waiting(_) | Slot::Ended { .. } => return Err(fenced(attempt, "it is not dispatched".to_owned())),
            Slot::Final { state, .. } => return Err(fenced(attempt, format!("it ended as {state}"))),
        };
        check_cause(&result)?;
        let next = self.next(at, numbers, &result, now);
        let ending = ending(result);
        let subject = Subject::from(&attempt.key);
        self.events.push(Event::AttemptEnded {
            subject: subject.clone(),
            dispatch_no: attempt.dispatch_no,
            outcome: ending.outcome,
            cause: ending.cause,
            class: ending.class.map(shorten),
            message: ending.message.map(shorten),
            started_at: attempt.started_at,
            worker: attempt.worker,
            bytes: ending.bytes,
        });
        match next {
            Next::Again { numbers, why, due } => self.events.push(dispatch(subject, numbers, why, due)),
            Next::Over(state, cause) => {
                self.dispatched -= 1;
                if at.is_instance() {
                    let dispatch_no = Some(attempt.dispatch_no);
                    self.events.push(Event::TaskFinished {
                        subject: Subject::from(&attempt.key),
                        dispatch_no,
                        state,
                        cause,
                    });
                    self.ended = Some((at, state, cause));
                    self.settle(at.task);
                } else {
                    self.end(at.task, Some(attempt.dispatch_no), state, cause);
                }
            }
        }
        self.fill();
        Ok(())
    }

    fn task(&self, key: &TaskKey) -> Result<At, Reject> {
        let Some(task) = self.run.compiled.graph.position(key.task.as_str()) else {
            return Err(Reject::UnknownTask(key.task.clone()));
        };
        if !self.run.chosen[task as usize] {
            return Err(Reject::NotChosen(key.task.clone()));
        }
        match (self.run.locate(key), self.run.mapped(task)) {
            (Some(at), _) => Ok(at),
            (None, Some(mapped)) => Err(Reject::NoInstance(key.clone(), mapped.n())),
            (None, None) => Err(Reject::NotMapped(key.clone())),
        }
    }

    /// Instances of a task that are dispatched, and those that have not begun.
    fn instances(&self, task: TaskIndex) -> Option<(u32, usize)> {
        let mapped = self.run.mapped(task)?;
        let ended = self.ended.is_some_and(|(at, ..)| at.task == task);
        Some((mapped.dispatched() - u32::from(ended), mapped.waiting().len()))
    }

    /// How a mapped task ends, all of its instances being over.
    fn gathered(&self, task: TaskIndex) -> (FinalState, Cause) {
        let whole = self.run.mapped(task).map(Mapped::outcome);
        let last = self.ended.filter(|(at, ..)| at.task == task).map(|(_, state, cause)| (state, cause));
        mapped::outcome(&mut whole.into_iter().chain(last))
    }

    /// An instance is over: so may its task be.
    fn settle(&mut self, task: TaskIndex) {
        match self.instances(task) {
            Some((0, left)) if self.is_stopping() => {
                let (state, cause) =
                    if left == 0 { self.gathered(task) } else { (FinalState::Cancelled, self.stop_cause()) };
                self.end(task, None, state, cause);
            }
            Some(_) => self.judge(task),
            None => {}
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
                let at = self.run.locate(key).ok_or_else(|| Reject::Inconsistent(key.clone()))?;
                if known.insert(at, executes).is_some() {
                    return Err(Reject::Inconsistent(key.clone()));
                }
            }
        }
        for task in self.run.compiled.graph.indices() {
            // A mapped task ends once none of its instances executes.
            let mut executes = false;
            for (index, slot) in self.run.mapped(task).into_iter().flat_map(Mapped::slots) {
                let at = At { task, index };
                match (slot, known.get(&at)) {
                    (Slot::Dispatched(_), Some(true)) => executes = true,
                    (Slot::Dispatched(_), Some(false)) => {
                        self.dispatched -= 1;
                        let (subject, state) = (Subject::from(&self.run.key_at(at)), FinalState::Cancelled);
                        self.events.push(Event::TaskFinished { subject, dispatch_no: None, state, cause });
                    }
                    (Slot::Waiting(_) | Slot::Final { .. }, None) => {}
                    (Slot::Waiting(_) | Slot::Final { .. } | Slot::Ended { .. }, Some(_))
                    | (Slot::Dispatched(_) | Slot::Ended { .. }, None) => {
                        return Err(Reject::Inconsistent(self.run.key_at(at)));
                    }
                }
            }
            let at = At::task(task);
            let ends = match (self.run.slot(task), known.get(&at)) {
                (Slot::Dispatched(_), Some(true)) | (Slot::Final { .. }, None) => false,
                (Slot::Dispatched(_), Some(false)) => {
                    self.dispatched -= 1;
                    true
                }
                (Slot::Waiting(_), None) => self.is_chosen(task) && !executes,
                (Slot::Waiting(_) | Slot::Final { .. } | Slot::Ended { .. }, Some(_))
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
            self.blocked += u32::from(state == FinalState::UpstreamFailed);
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
        let waits = self.run.slot(task).is_waiting() && self.is_chosen(task) && !self.over.contains_key(&task);
        if !waits || self.run.startable.contains(&task) || self.startable.contains(&task) {
            return None;
        }
        let instances = self.instances(task);
        if instances.is_some_and(|(dispatched, _)| dispatched > 0) {
            return None;
        }
        let counts = self.counts.get(&task).copied().unwrap_or(self.run.counts[task as usize]);
        match judge(self.run.compiled.task(task).trigger_rule, counts) {
            Verdict::Wait => None,
            Verdict::Start if instances.is_some_and(|(_, left)| left == 0) => Some(self.gathered(task)),
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
            let mut places = self.run.width().saturating_sub(self.dispatched) as usize;
            let mut starts: Vec<At> = Vec::new();
            let (mut old, mut new) = (self.run.startable.iter().peekable(), self.startable.iter().peekable());
            while places > 0 {
                let task = match (old.peek(), new.peek()) {
                    (None, None) => break,
                    (Some(_), None) => old.next(),
                    (None, Some(_)) => new.next(),
                    (Some(a), Some(b)) => {
                        if a < b {
                            old.next()
                        } else {
                            new.next()
                        }
                    }
                };
                let Some(&task) = task else { break };
                if self.over.contains_key(&task) {
                    continue;
                }
                let before = starts.len();
                match self.run.mapped(task) {
                    None => starts.push(At::task(task)),
                    Some(mapped) => {
                        starts.extend(mapped.waiting().iter().take(places).map(|&index| At { task, index }));
                    }
                }
                places -= starts.len() - before;
            }
            starts.into_iter().for_each(|at| self.dispatch(at));
        }
        self.close();
    }

    /// Dispatches a waiting task run.
    fn dispatch(&mut self, at: At) {
        let Some(Slot::Waiting(before)) = self.run.slot_at(at).copied() else { return };
        self.dispatched += 1;
        let numbers = Numbers { dispatch_no: before.dispatch_no + 1, try_no: before.try_no + 1, losses: 0, ..before };
        let why = if before.generation == 0 { DispatchWhy::First } else { DispatchWhy::Manual };
        self.events.push(dispatch(Subject::from(&self.run.key_at(at)), numbers, why, None));
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
                if self.run.slot(task).is_waiting() && self.is_chosen(task) {
                    self.end(task, None, FinalState::Cancelled, Cause::EventLimit);
                }
            }
        }
        let (outcome, cause) = match self.cause {
            Some(Cause::CancelRequested) => (RunState::Cancelled, Cause::CancelRequested),
            Some(limit) => (RunState::Failed, limit),
            None => self.outcome(),
        };
        self.events.push(Event::RunFinished { outcome, cause });
        self.state = outcome;
    }
}

impl Draft<'_> {
    /// How the run ends if nothing stops it.
    fn outcome(&self) -> (RunState, Cause) {
        let ended = |task: TaskIndex| self.over.get(&task).copied().or_else(|| self.run.slot(task).final_state());
        outcome(&self.run.compiled, self.failures + self.blocked > 0, ended)
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

/// At most [`MESSAGE_CHARS`] characters; what is cut off is marked. U+0000, which databases refuse, is replaced.
pub fn shorten(mut text: String) -> String {
    if text.contains('\0') {
        text = text.replace('\0', "\u{FFFD}");
    }
    if let Some((at, _)) = text.char_indices().nth(MESSAGE_CHARS)
        && let Some((keep, _)) = text[..at].char_indices().next_back()
    {
        text.truncate(keep);
        text.push('…');
    }
    text
}
