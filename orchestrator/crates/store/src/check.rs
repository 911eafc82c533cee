//! What every store refuses before it writes: contradictions inside a batch, NUL characters (PostgreSQL's text cannot
//! hold them, so no store takes them), and values over their limit. The databases' own constraints stand behind it.

use std::collections::HashSet;

use updraft_model::event::Event;
use updraft_model::id::{MapIndex, RunId, TaskId, TaskKey, VersionId};
use updraft_model::record::{EndedAttempt, WorkRow};
use updraft_model::state::{Place, RunState};

use crate::schema::{ITEM_MESSAGE_BYTES, MESSAGE_BYTES, OUTPUT_BYTES, STATE_BYTES, STATE_NAME_BYTES};
use crate::{Batch, Expected, RunCommit, StoreError, Wake};

/// The tasks chosen when the run was made, from its `run_created` event; `None` = all.
pub fn only_of(events: &[Event]) -> Option<&[TaskId]> {
    events.iter().find_map(|event| if let Event::RunCreated { only, .. } = event { only.as_deref() } else { None })
}

/// The version and, if it changes, the queue that a run goes on with, from its `run_reopened` event.
pub fn reopened_of(events: &[Event]) -> Option<(VersionId, Option<&str>)> {
    events.iter().rev().find_map(|event| match event {
        Event::RunReopened { version_id, queue, .. } => Some((*version_id, queue.as_deref())),
        _ => None,
    })
}

/// Hints for the workers whose attempts a [`Lane::Clear`](crate::Lane::Clear) ends: they execute them still.
pub fn stopped_by(commit: &RunCommit, held: &[WorkRow]) -> Vec<Wake> {
    let ends = |row: &&WorkRow| commit.ended.iter().any(|ended| Some(ended.attempt_id) == row.attempt_id);
    let mut workers: Vec<_> = held.iter().filter(ends).filter_map(|row| row.worker_no).collect();
    workers.sort_unstable();
    workers.dedup();
    workers.into_iter().map(Wake::Cancel).collect()
}

/// Refuses a batch that contradicts itself or holds what no store keeps.
///
/// # Errors
/// [`StoreError::Rejected`] naming the run, the row and the reason.
pub fn batch(batch: &Batch) -> Result<(), StoreError> {
    let mut runs = HashSet::with_capacity(batch.runs.len());
    for run in &batch.runs {
        if !runs.insert(run.run_id) {
            return Err(rejected(run.run_id, "it appears twice in one batch"));
        }
        run_commit(run)?;
    }
    let mut keys = HashSet::new();
    for run in &batch.runs {
        if let Expected::New(facts) = &run.expected
            && !keys.insert((facts.workflow_id, facts.run_key.as_str()))
        {
            return Err(rejected(run.run_id, &format!("run_key `{}` appears twice in one batch", facts.run_key)));
        }
    }
    if let Some(pick) = &batch.pick {
        text("queue", &pick.queue, usize::MAX)?;
    }
    Ok(())
}

/// Refuses one run's part; see [`batch`].
///
/// # Errors
/// [`StoreError::Rejected`] naming the run, the row and the reason.
pub fn run_commit(commit: &RunCommit) -> Result<(), StoreError> {
    let run = commit.run_id;
    within(run, "actor", &commit.actor, usize::MAX)?;
    if let Expected::New(facts) = &commit.expected {
        if facts.run_id != run {
            return Err(rejected(run, &format!("its facts are those of run {}", facts.run_id)));
        }
        for (column, value) in [("run_key", &facts.run_key), ("conf", &facts.conf), ("queue", &facts.queue)] {
            within(run, column, value, usize::MAX)?;
        }
    }
    projection(run, commit)?;
    let mut work = HashSet::with_capacity(commit.work.len());
    for row in &commit.work {
        work_row(run, row)?;
        if !work.insert(&row.dispatch.key) {
            return Err(rejected(run, &format!("work row {} appears twice", row.dispatch.key)));
        }
    }
    if let Some(key) = commit.removed.iter().find(|key| work.contains(key)) {
        return Err(rejected(run, &format!("work row {key} is both written and removed")));
    }
    let over = commit.task_runs.iter().map(|row| (&row.key, row.dispatch_no, row.try_no));
    let anew = commit.cleared.iter().map(|row| (&row.key, row.dispatch_no, row.try_no));
    unique(run, "task run", over.clone().chain(anew.clone()).map(|(key, ..)| key))?;
    for (key, dispatch_no, try_no) in over.chain(anew) {
        if (dispatch_no == 0) != (try_no == 0) {
            return Err(rejected(run, &format!("task run {key} has a try without a dispatch, or the reverse")));
        }
        task_id(run, key)?;
    }
    let expanded = commit.task_runs.iter().map(|row| (&row.key, row.expanded_n));
    let mut expanded = expanded.chain(commit.cleared.iter().map(|row| (&row.key, row.expanded_n)));
    if let Some((key, _)) = expanded.find(|(key, n)| n.is_some() && key.map_index != MapIndex::NONE) {
        return Err(rejected(run, &format!("task run {key} is an instance and has instances")));
    }
    if let Some(row) = commit.cleared.iter().find(|row| row.generation == 0 && row.expanded_n.is_none()) {
        return Err(rejected(run, &format!("task run {} begins anew in its first generation", row.key)));
    }
    if let Some((_, Some(queue))) = reopened_of(&commit.events) {
        within(run, "queue", queue, usize::MAX)?;
    }
    unique(run, "ended attempt", commit.ended.iter().map(|row| &row.key))?;
    commit.ended.iter().try_for_each(|attempt| ended(run, attempt))
}

/// Refuses a kept value that is too large or holds a NUL, and a name that no index takes.
///
/// # Errors
/// [`StoreError::Rejected`] naming the value.
pub fn kept_value(name: &str, value: &str) -> Result<(), StoreError> {
    text("the name of a kept value", name, STATE_NAME_BYTES)?;
    text(name, value, STATE_BYTES)
}

/// Refuses text that holds a NUL or is longer than `limit_bytes`.
///
/// # Errors
/// [`StoreError::Rejected`] naming `what`.
pub fn text(what: &str, value: &str, limit_bytes: usize) -> Result<(), StoreError> {
    if value.len() > limit_bytes {
        return Err(StoreError::Rejected(format!("{what} has {} bytes, the limit is {limit_bytes}", value.len())));
    }
    if value.as_bytes().contains(&0) {
        return Err(StoreError::Rejected(format!("{what} holds a NUL character, which no store keeps")));
    }
    Ok(())
}

fn work_row(run: RunId, row: &WorkRow) -> Result<(), StoreError> {
    let key = &row.dispatch.key;
    if row.run_id != run {
        return Err(rejected(run, &format!("work row {key} belongs to run {}", row.run_id)));
    }
    let executing = row.worker_no.is_some() && row.attempt_id.is_some() && row.claimed_at.is_some();
    let unclaimed = row.worker_no.is_none() && row.attempt_id.is_none() && row.claimed_at.is_none();
    let fits = match row.place {
        Place::Executing => executing && row.due_at.is_none(),
        Place::Timer | Place::Polled => unclaimed && row.due_at.is_some() && row.cancel_at.is_none(),
        Place::Ready | Place::Gated | Place::Waiting => unclaimed && row.due_at.is_none() && row.cancel_at.is_none(),
    };
    if !fits {
        return Err(rejected(
            run,
            &format!("work row {key} in place `{}` has the columns of another place", row.place),
        ));
    }
    if row.dispatch.dispatch_no == 0 || row.dispatch.try_no == 0 {
        return Err(rejected(run, &format!("work row {key} has no dispatch_no or try_no")));
    }
    within(run, "queue", &row.queue, usize::MAX)?;
    task_id(run, key)
}

/// A run's row that contradicts itself.
fn projection(run: RunId, commit: &RunCommit) -> Result<(), StoreError> {
    let row = &commit.run;
    if row.state.is_final() != row.ended_at.is_some() {
        return Err(rejected(run, &format!("state {} and ended_at contradict each other", row.state)));
    }
    if row.ended_at.is_some() && row.cause.is_none() {
        return Err(rejected(run, "it is over without a cause"));
    }
    if row.state == RunState::Running && row.started_at.is_none() {
        return Err(rejected(run, "it is running without started_at"));
    }
    if row.state == RunState::Queued && row.started_at.is_some() {
        return Err(rejected(run, "it is queued with started_at"));
    }
    if let Expected::New(facts) = &commit.expected
        && facts.interval.start > facts.interval.end
    {
        return Err(rejected(run, "its data interval ends before it starts"));
    }
    Ok(())
}

fn task_id(run: RunId, key: &TaskKey) -> Result<(), StoreError> {
    if key.task.as_str().is_empty() || key.map_index.0 < -1 {
        return Err(rejected(run, &format!("`{key}` is no task run's key")));
    }
    within(run, "task_id", key.task.as_str(), usize::MAX)
}

fn ended(run: RunId, attempt: &EndedAttempt) -> Result<(), StoreError> {
    let optional = [
        ("class", attempt.class.as_deref(), usize::MAX),
        ("message", attempt.message.as_deref(), MESSAGE_BYTES),
        ("output", attempt.output.as_deref(), OUTPUT_BYTES),
    ];
    for (column, value, limit) in optional {
        if let Some(value) = value {
            within(run, &format!("{column} of {}", attempt.key), value, limit)?;
        }
    }
    for item in &attempt.items {
        for value in [&item.kind, &item.name, &item.state] {
            within(run, &format!("an item of {}", attempt.key), value, usize::MAX)?;
        }
        if let Some(message) = &item.message {
            within(run, &format!("message of item `{}` of {}", item.name, attempt.key), message, ITEM_MESSAGE_BYTES)?;
        }
    }
    for metric in &attempt.metrics {
        if !metric.value.is_finite() {
            return Err(rejected(run, &format!("metric `{}` of {} is not a finite number", metric.name, attempt.key)));
        }
        for value in [&metric.name, &metric.unit].into_iter().chain(metric.labels.iter().flat_map(|(k, v)| [k, v])) {
            within(run, &format!("metric `{}` of {}", metric.name, attempt.key), value, usize::MAX)?;
        }
    }
    Ok(())
}

fn unique<'a>(run: RunId, what: &str, keys: impl Iterator<Item = &'a TaskKey>) -> Result<(), StoreError> {
    let mut seen = HashSet::new();
    for key in keys {
        if !seen.insert(key) {
            return Err(rejected(run, &format!("{what} {key} appears twice")));
        }
    }
    Ok(())
}

fn within(run: RunId, what: &str, value: &str, limit_bytes: usize) -> Result<(), StoreError> {
    text(what, value, limit_bytes).map_err(|error| match error {
        StoreError::Rejected(reason) => StoreError::Rejected(format!("run {run}: {reason}")),
        other => other,
    })
}

fn rejected(run: RunId, reason: &str) -> StoreError {
    StoreError::Rejected(format!("run {run}: {reason}"))
}
