//! Task runs whose end an operator says. What executes is told to stop and its attempt is over with it; what is over
//! already is corrected, and with it the outcome of a run that is over. Task runs downstream that are over stay so.

use super::retry::{find, places};
use super::{Draft, after, shorten};
use crate::change::outcome;
use crate::event::{Event, Subject};
use crate::graph::TaskIndex;
use crate::id::TaskKey;
use crate::input::{Mark, Reject};
use crate::mapped::{At, Mapped};
use crate::run::{Run, Slot};
use crate::state::{Cause, FinalState, Outcome, Place, RunState};
use crate::time::Timestamp;

/// What a mark means for a run.
pub(super) fn decide(run: &Run, mark: Mark, now: Timestamp) -> Result<Vec<Event>, Reject> {
    if run.events == 0 {
        return Err(Reject::NotCreated);
    }
    match run.projection.state {
        RunState::Queued => return Err(Reject::NotStarted),
        RunState::Cancelling => return Err(Reject::Stopping),
        RunState::Broken => return Err(Reject::Broken),
        RunState::Running | RunState::Succeeded | RunState::Failed | RunState::Cancelled => {}
    }
    match mark.state {
        FinalState::Succeeded | FinalState::Failed => {}
        state @ (FinalState::Skipped | FinalState::UpstreamFailed | FinalState::Cancelled | FinalState::Removed) => {
            return Err(Reject::BadMark(state));
        }
    }
    let places = places(run, &mark.work)?;
    let (by, reason) = (shorten(mark.by), shorten(mark.reason));
    let mut events = Vec::new();
    let mut marked = Vec::new();
    for task in meant(run, mark.tasks.as_deref(), mark.state)? {
        if run.slot(task).final_state() == Some(mark.state) {
            continue;
        }
        // Of a mapped task, instances under way end with it; those that are over stay as they ended.
        let instances = run.mapped(task).into_iter().flat_map(Mapped::slots);
        let instances = instances.filter(|(_, slot)| matches!(slot, Slot::Dispatched(_)));
        let instances = instances.map(|(index, slot)| (At { task, index }, *slot));
        for (at, slot) in instances.chain([(At::task(task), *run.slot(task))]) {
            let (key, subject) = (run.key_at(at), Subject::from(&run.key_at(at)));
            if let Slot::Dispatched(numbers) = slot
                && places.get(&at) == Some(&Place::Executing)
            {
                let standing = mark.work.iter().find(|standing| standing.key == key);
                events.push(Event::AttemptEnded {
                    subject: subject.clone(),
                    dispatch_no: numbers.dispatch_no,
                    outcome: Outcome::Cancelled,
                    cause: Cause::Marked,
                    class: None,
                    message: None,
                    // It says itself when its body began, but is not waited for.
                    started_at: standing.and_then(|standing| standing.claimed_at),
                    worker: standing.and_then(|standing| standing.worker),
                    bytes: 0,
                });
            }
            events.push(Event::TaskSet { subject, state: mark.state, by: by.clone(), reason: reason.clone() });
        }
        marked.push(task);
    }
    if marked.is_empty() {
        return Err(Reject::NothingToMark(mark.state));
    }
    let next = after(run, None, &events, now);
    if run.projection.state.is_final() {
        events.extend(corrected(run, &next));
        return Ok(events);
    }
    let mut draft = Draft::of(&next);
    for task in marked {
        for &child in next.compiled.graph.downstream(task) {
            draft.judge(child);
        }
    }
    draft.fill();
    events.append(&mut draft.events);
    Ok(events)
}

/// The task runs that are meant, in file order.
fn meant(run: &Run, named: Option<&[TaskKey]>, state: FinalState) -> Result<Vec<TaskIndex>, Reject> {
    if let Some(named) = named {
        let whole = |key: &TaskKey| match find(run, key)? {
            at if at.is_instance() => Err(Reject::MarkInstance(key.clone())),
            at => Ok(at.task),
        };
        let mut found = named.iter().map(whole).collect::<Result<Vec<_>, _>>()?;
        found.sort_unstable();
        found.dedup();
        return Ok(found);
    }
    let over = run.projection.state.is_final();
    let meant = |task: &TaskIndex| {
        run.is_chosen(*task)
            && match run.slot(*task).final_state() {
                None => true,
                Some(FinalState::Failed | FinalState::Cancelled | FinalState::UpstreamFailed) => {
                    over && state == FinalState::Succeeded
                }
                Some(FinalState::Succeeded | FinalState::Skipped | FinalState::Removed) => false,
            }
    };
    Ok(run.compiled.graph.indices().filter(meant).collect())
}

/// The outcome of a run that is over, where it is another one now. What stopped it stays its outcome while something is
/// still not well.
fn corrected(run: &Run, next: &Run) -> Option<Event> {
    let trouble = next.failures + next.blocked > 0;
    let (state, cause) = outcome(&next.compiled, trouble, |task| next.slot(task).final_state());
    let stays = match state {
        RunState::Succeeded => run.projection.state == RunState::Succeeded,
        RunState::Queued
        | RunState::Running
        | RunState::Cancelling
        | RunState::Failed
        | RunState::Cancelled
        | RunState::Broken => run.projection.state != RunState::Succeeded,
    };
    (!stays).then_some(Event::RunFinished { outcome: state, cause })
}
