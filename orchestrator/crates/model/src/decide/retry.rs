//! Task runs that begin anew: in a live run those that are over, in a run that is over any, whereupon it is re-opened.
//!
//! Decided in two steps: what begins anew; then, from the state that this leads to, what starts at once or ends anew. The
//! second step is the one that every finish takes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Draft, after, dispatch, shorten};
use crate::event::{Anew, Event, Subject};
use crate::graph::TaskIndex;
use crate::id::{MapIndex, TaskKey};
use crate::input::{Reject, Retry, RetryWhat, Standing, Target};
use crate::mapped::At;
use crate::run::{Numbers, Run, Slot};
use crate::state::{Cause, DispatchWhy, FinalState, Place, RunState};
use crate::time::Timestamp;

/// What a retry means for a run.
pub(super) fn decide(run: &Run, retry: Retry, now: Timestamp) -> Result<Vec<Event>, Reject> {
    if run.events == 0 {
        return Err(Reject::NotCreated);
    }
    match run.projection.state {
        RunState::Queued => return Err(Reject::NotStarted),
        RunState::Cancelling => return Err(Reject::Stopping),
        RunState::Broken => return Err(Reject::Broken),
        RunState::Running | RunState::Succeeded | RunState::Failed | RunState::Cancelled => {}
    }
    let target = retry.version.clone().filter(|target| target.version_id != run.facts.version_id);
    let events = if run.projection.state.is_final() {
        reopen(run, retry, target.clone())?
    } else if target.is_some() {
        return Err(Reject::LiveVersion);
    } else {
        clear(run, &retry)?
    };
    follow(run, target, events, now)
}

/// A run that is over goes on.
fn reopen(run: &Run, retry: Retry, target: Option<Target>) -> Result<Vec<Event>, Reject> {
    if target.is_some() && !run.instances.is_empty() {
        return Err(Reject::MappedVersion);
    }
    let mut changed = None;
    if let Some(target) = target {
        let mut copy = run.clone();
        copy.remap(target.compiled);
        copy.facts.version_id = target.version_id;
        changed = Some(copy);
    }
    let on = changed.as_ref().unwrap_or(run);
    let chosen = chosen(on, &retry)?;
    let mut tasks = Vec::new();
    let mut waiting = false;
    for task in on.compiled.graph.indices().filter(|&task| on.is_chosen(task)) {
        match *on.slot(task) {
            // A task that left the graph once and is back has to run.
            Slot::Final { numbers, state, .. } if chosen.has(task) || state == FinalState::Removed => {
                tasks.push(anew(on, At::task(task), numbers));
                for (at, slot) in chosen.instances(on, task) {
                    if let Slot::Final { numbers, .. } = slot {
                        tasks.push(anew(on, at, numbers));
                    }
                }
            }
            Slot::Waiting(_) => waiting = true,
            Slot::Final { .. } | Slot::Dispatched(_) | Slot::Ended { .. } => {}
        }
    }
    if tasks.is_empty() && !waiting {
        return Err(nothing(&retry));
    }
    let mut events = vec![Event::RunReopened {
        waits: retry.waits,
        generation: run.projection.generation + 1,
        version_id: on.facts.version_id,
        tasks,
        by: shorten(retry.by),
        reason: shorten(retry.reason),
        queue: retry.queue.filter(|queue| *queue != run.facts.queue),
    }];
    for (key, slot) in &on.gone {
        if slot.final_state() != Some(FinalState::Removed) {
            events.push(Event::TaskFinished {
                subject: Subject::from(key),
                dispatch_no: None,
                state: FinalState::Removed,
                cause: Cause::VersionChanged,
            });
        }
    }
    Ok(events)
}

fn anew(run: &Run, at: At, numbers: Numbers) -> Anew {
    let TaskKey { task, map_index } = run.key_at(at);
    Anew { task, map_index, generation: numbers.generation + 1 }
}

/// Task runs of a live run begin anew; what waits for its next try does so now.
fn clear(run: &Run, retry: &Retry) -> Result<Vec<Event>, Reject> {
    let places = places(run, &retry.work)?;
    let chosen = chosen(run, retry)?;
    let graph = &run.compiled.graph;
    let mut events = Vec::new();
    // By position: begins anew, or has an upstream that does.
    let mut upset = vec![false; graph.len()];
    for &task in graph.topological() {
        upset[task as usize] = graph.upstream(task).iter().any(|&up| upset[up as usize]);
        if !chosen.has(task) {
            continue;
        }
        let whole = (At::task(task), *run.slot(task));
        for (at, slot) in std::iter::once(whole).chain(chosen.instances(run, task)) {
            let subject = Subject::from(&run.key_at(at));
            let anew = |numbers: Numbers| Event::TaskCleared {
                subject: subject.clone(),
                generation: numbers.generation + 1,
                by: shorten(retry.by.clone()),
            };
            match (slot, places.get(&at)) {
                (Slot::Final { numbers, .. }, _) => {
                    upset[task as usize] = true;
                    events.push(anew(numbers));
                }
                (Slot::Dispatched(_), Some(Place::Executing)) => return Err(Reject::Executing(run.key_at(at))),
                (Slot::Dispatched(numbers), _) if upset[task as usize] => events.push(anew(numbers)),
                (Slot::Dispatched(numbers), Some(Place::Timer)) => {
                    let numbers = Numbers { dispatch_no: numbers.dispatch_no + 1, ..numbers };
                    events.push(dispatch(subject, numbers, DispatchWhy::Manual, None));
                }
                (Slot::Waiting(_) | Slot::Ended { .. } | Slot::Dispatched(_), _) => {}
            }
        }
    }
    if events.is_empty() { Err(nothing(retry)) } else { Ok(events) }
}

/// What starts at once, what ends anew.
fn follow(run: &Run, target: Option<Target>, mut events: Vec<Event>, now: Timestamp) -> Result<Vec<Event>, Reject> {
    let next = after(run, target, &events, now);
    if next.events >= next.limits.max_events {
        return Err(Reject::EventLimit(run.events));
    }
    let mut draft = Draft::of(&next);
    // One that waits for a run slot is judged as it will be once it has one: with its start.
    let waits = next.projection.state == RunState::Queued;
    draft.state = RunState::Running;
    for task in next.compiled.graph.indices() {
        draft.judge(task);
    }
    // Something has to run, now or later; else say what stands in the way.
    let runs = next.dispatched > 0 || draft.open > 0;
    if !runs && let Some(blocked) = blocked(&next, &draft) {
        return Err(blocked);
    }
    if !waits {
        draft.fill();
        events.append(&mut draft.events);
    }
    Ok(events)
}

/// The first task run that ended anew without a start, and the upstream that it waits for.
fn blocked(next: &Run, draft: &Draft<'_>) -> Option<Reject> {
    let ended = |task: TaskIndex| draft.over.get(&task).copied().or_else(|| next.slot(task).final_state());
    next.compiled.graph.indices().find(|task| draft.over.contains_key(task)).map(|task| {
        let bad = |&&up: &&TaskIndex| {
            matches!(
                ended(up),
                Some(FinalState::Failed | FinalState::UpstreamFailed | FinalState::Cancelled | FinalState::Skipped)
            )
        };
        let upstreams = next.compiled.graph.upstream(task);
        let upstream = upstreams.iter().find(bad).or(upstreams.first()).copied().unwrap_or(task);
        Reject::Blocked {
            task: next.key(task),
            upstream: next.compiled.graph.id(upstream).clone(),
            state: ended(upstream).unwrap_or(FinalState::Failed),
        }
    })
}

fn nothing(retry: &Retry) -> Reject {
    Reject::NothingToRetry(match retry.what {
        RetryWhat::Failed => "no task run failed or was kept from running by a failure",
        RetryWhat::Tasks => "none of the named task runs is over, and none waits for its next try",
        RetryWhat::All => "no task run is over",
    })
}

/// Where dispatched task runs are; it and the run must know the same ones.
pub(super) fn places(run: &Run, work: &[Standing]) -> Result<HashMap<At, Place>, Reject> {
    let mut places = HashMap::with_capacity(work.len());
    for standing in work {
        let at = run.locate(&standing.key).ok_or_else(|| Reject::Inconsistent(standing.key.clone()))?;
        let dispatched = matches!(run.slot_at(at), Some(Slot::Dispatched(_)));
        if !dispatched || places.insert(at, standing.place).is_some() {
            return Err(Reject::Inconsistent(standing.key.clone()));
        }
    }
    if places.len() == run.dispatched as usize {
        return Ok(places);
    }
    let lost = run.at_work().find(|at| !places.contains_key(at));
    Err(Reject::Inconsistent(lost.map_or_else(|| TaskKey::of(""), |at| run.key_at(at))))
}

/// Which task runs are meant.
struct Chosen {
    /// By position.
    tasks: Vec<bool>,
    /// Of these mapped tasks, what is named alone.
    named: BTreeMap<TaskIndex, BTreeSet<MapIndex>>,
    what: RetryWhat,
}

impl Chosen {
    fn has(&self, task: TaskIndex) -> bool {
        self.tasks[task as usize]
    }

    /// The instances that are meant of a task that is: those that are named, else, of what failed, those that did, else all.
    fn instances(&self, run: &Run, task: TaskIndex) -> Vec<(At, Slot)> {
        let Some(mapped) = run.mapped(task) else { return Vec::new() };
        let slots: Vec<_> = mapped.slots().map(|(index, slot)| (At { task, index }, *slot)).collect();
        if let Some(named) = self.named.get(&task) {
            return slots.into_iter().filter(|(at, _)| named.contains(&at.index)).collect();
        }
        let failed = |(_, slot): &(At, Slot)| {
            matches!(slot.final_state(), Some(FinalState::Failed | FinalState::Cancelled | FinalState::UpstreamFailed))
        };
        if self.what == RetryWhat::Failed {
            let failed: Vec<_> = slots.iter().copied().filter(failed).collect();
            // None did where somebody said that the task failed, or where none began.
            if !failed.is_empty() {
                return failed;
            }
        }
        slots
    }
}

fn chosen(run: &Run, retry: &Retry) -> Result<Chosen, Reject> {
    let graph = &run.compiled.graph;
    let mut named: BTreeMap<TaskIndex, BTreeSet<MapIndex>> = BTreeMap::new();
    let tasks = match retry.what {
        RetryWhat::All => graph.indices().map(|task| run.is_chosen(task)).collect(),
        RetryWhat::Failed => failed(run),
        RetryWhat::Tasks => {
            let found = retry.tasks.iter().map(|key| find(run, key)).collect::<Result<Vec<_>, _>>()?;
            for at in found.iter().filter(|at| at.is_instance()) {
                named.entry(at.task).or_default().insert(at.index);
            }
            found.iter().filter(|at| !at.is_instance()).for_each(|at| drop(named.remove(&at.task)));
            if retry.downstream {
                graph.downstream_closure(found.iter().map(|at| at.task))
            } else {
                let mut tasks = vec![false; graph.len()];
                found.iter().for_each(|at| tasks[at.task as usize] = true);
                tasks
            }
        }
    };
    Ok(Chosen { tasks, named, what: retry.what })
}

/// What failed or was cancelled, what never ran because of that, and what never ran because of those.
fn failed(run: &Run) -> Vec<bool> {
    let graph = &run.compiled.graph;
    let mut chosen = vec![false; graph.len()];
    for &task in graph.topological() {
        chosen[task as usize] = match *run.slot(task) {
            Slot::Final { state: FinalState::Failed | FinalState::Cancelled | FinalState::UpstreamFailed, .. } => true,
            // Judged by upstreams that begin anew, so it is judged anew; a body that said so itself stays skipped.
            Slot::Final { state: FinalState::Skipped, cause, .. } if cause != Cause::Task => {
                graph.upstream(task).iter().any(|&up| chosen[up as usize])
            }
            Slot::Final { .. } | Slot::Waiting(_) | Slot::Dispatched(_) | Slot::Ended { .. } => false,
        };
    }
    chosen
}

/// A named task run.
pub(super) fn find(run: &Run, key: &TaskKey) -> Result<At, Reject> {
    Draft::of(run).task(key)
}
