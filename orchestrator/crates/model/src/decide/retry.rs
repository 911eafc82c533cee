//! Task runs that begin anew: in a live run those that are over, in a run that is over any, whereupon it is re-opened.
//!
//! Decided in two steps: what begins anew; then, from the state that this leads to, what starts at once or ends anew. The
//! second step is the one that every finish takes.

use std::collections::HashMap;

use super::{Draft, after, dispatch, shorten};
use crate::event::{Anew, Event, Subject};
use crate::graph::TaskIndex;
use crate::id::TaskKey;
use crate::input::{Reject, Retry, RetryWhat, Standing, Target};
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
            Slot::Final { numbers, state, .. } if chosen[task as usize] || state == FinalState::Removed => {
                let TaskKey { task, map_index } = on.key(task);
                tasks.push(Anew { task, map_index, generation: numbers.generation + 1 });
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
        if !chosen[task as usize] {
            continue;
        }
        let subject = Subject::from(&run.key(task));
        let anew = |numbers: Numbers| Event::TaskCleared {
            subject: subject.clone(),
            generation: numbers.generation + 1,
            by: shorten(retry.by.clone()),
        };
        match (*run.slot(task), places.get(&task)) {
            (Slot::Final { numbers, .. }, _) => {
                upset[task as usize] = true;
                events.push(anew(numbers));
            }
            (Slot::Dispatched(_), Some(Place::Executing)) => return Err(Reject::Executing(run.key(task))),
            (Slot::Dispatched(numbers), _) if upset[task as usize] => events.push(anew(numbers)),
            (Slot::Dispatched(numbers), Some(Place::Timer)) => {
                let numbers = Numbers { dispatch_no: numbers.dispatch_no + 1, ..numbers };
                events.push(dispatch(subject, numbers, DispatchWhy::Manual, None));
            }
            (Slot::Waiting(_) | Slot::Ended { .. } | Slot::Dispatched(_), _) => {}
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
pub(super) fn places(run: &Run, work: &[Standing]) -> Result<HashMap<TaskIndex, Place>, Reject> {
    let mut places = HashMap::with_capacity(work.len());
    for standing in work {
        let task = run.position(&standing.key).ok_or_else(|| Reject::Inconsistent(standing.key.clone()))?;
        let dispatched = matches!(run.slot(task), Slot::Dispatched(_));
        if !dispatched || places.insert(task, standing.place).is_some() {
            return Err(Reject::Inconsistent(standing.key.clone()));
        }
    }
    if places.len() == run.dispatched as usize {
        return Ok(places);
    }
    let missing = |task: &TaskIndex| matches!(run.slot(*task), Slot::Dispatched(_)) && !places.contains_key(task);
    let lost = run.compiled.graph.indices().find(missing);
    Err(Reject::Inconsistent(lost.map_or_else(|| TaskKey::of(""), |task| run.key(task))))
}

/// Which task runs are meant, by position.
fn chosen(run: &Run, retry: &Retry) -> Result<Vec<bool>, Reject> {
    let graph = &run.compiled.graph;
    match retry.what {
        RetryWhat::All => Ok(graph.indices().map(|task| run.is_chosen(task)).collect()),
        RetryWhat::Failed => Ok(failed(run)),
        RetryWhat::Tasks => {
            let named = retry.tasks.iter().map(|key| find(run, key)).collect::<Result<Vec<_>, _>>()?;
            if retry.downstream {
                return Ok(graph.downstream_closure(named));
            }
            let mut chosen = vec![false; graph.len()];
            named.into_iter().for_each(|task| chosen[task as usize] = true);
            Ok(chosen)
        }
    }
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
pub(super) fn find(run: &Run, key: &TaskKey) -> Result<TaskIndex, Reject> {
    let Some(task) = run.compiled.graph.position(key.task.as_str()) else {
        return Err(Reject::UnknownTask(key.task.clone()));
    };
    if !run.is_chosen(task) {
        return Err(Reject::NotChosen(key.task.clone()));
    }
    run.position(key).ok_or_else(|| Reject::NotMapped(key.clone()))
}
