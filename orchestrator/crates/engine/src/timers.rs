//! Retry timers and run time limits: sleeps until the earliest one, then makes due rows ready. No run lock is taken for
//! a retry (engine.md F4).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use updraft_model::id::{RunId, VersionId};
use updraft_model::state::{Cause, RunState};
use updraft_model::time::Timestamp;
use updraft_store::read::RunFilter;

use crate::committer::{Command, Job, read_version, trouble_backoff};
use crate::error::EngineError;
use crate::shared::{Phase, Shared, locked};

/// Most timers made ready in one statement.
const LIMIT: u32 = 500;
/// Open runs looked at in one question.
const PAGE: u32 = 500;

/// Runs until the engine stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut failures = 0;
    loop {
        let next = *locked(&shared.next_timer);
        let wait = next.map(|due| due.since(shared.now()));
        let poll = shared.config.poll;
        tokio::select! {
            () = shared.timer_changed.notified() => continue,
            () = sleep(wait) => {}
            () = sleep(poll) => {}
        }
        if shared.phase() >= Phase::Aborting {
            return;
        }
        match look(&shared).await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                if failures == 1 {
                    shared.warn(None, format!("timers cannot be looked at: {error}; this is tried again"));
                }
                tokio::time::sleep(trouble_backoff(shared.config.backoff, failures)).await;
            }
        }
    }
}

async fn sleep(span: Option<Duration>) {
    match span {
        Some(span) => tokio::time::sleep(span).await,
        None => std::future::pending().await,
    }
}

async fn look(shared: &Shared) -> Result<(), updraft_store::StoreError> {
    let store = &shared.config.store;
    let now = shared.now();
    if locked(&shared.next_timer).is_some_and(|due| due <= now) {
        *locked(&shared.next_timer) = None;
        let moved = match store.due(now, LIMIT).await {
            Ok(moved) => moved,
            Err(error) => {
                shared.timer_at(now);
                return Err(error);
            }
        };
        if moved > 0 {
            shared.command(Command::Look(None));
        }
    }
    let queues = shared.queues();
    let next = store.next_due(&queues).await.inspect_err(|_| shared.timer_at(now))?;
    if let Some(due) = next.timer {
        shared.timer_at(due);
    }
    if next.ready.is_some() && shared.config.poll.is_some() {
        shared.command(Command::Look(None));
    }
    Ok(())
}

/// Looks after the time limits of all open runs of the store, whoever made them: a run's limit outlives the process that
/// made it. What nears its limit before the next look gets a timer.
pub(crate) async fn watch_all_runs(shared: Arc<Shared>, every: Duration) {
    let mut limits: HashMap<VersionId, Option<Duration>> = HashMap::new();
    let mut watched: HashSet<RunId> = HashSet::new();
    loop {
        if shared.phase() >= Phase::Aborting {
            return;
        }
        if let Err(error) = look_at_limits(&shared, every, &mut limits, &mut watched).await {
            tracing::warn!(%error, "the time limits of runs cannot be looked at; this is tried again");
        }
        tokio::time::sleep(every).await;
    }
}

async fn look_at_limits(
    shared: &Arc<Shared>,
    every: Duration,
    limits: &mut HashMap<VersionId, Option<Duration>>,
    watched: &mut HashSet<RunId>,
) -> Result<(), EngineError> {
    let reader = &shared.config.reader;
    let horizon = shared.now() + every * 2;
    let mut before = None;
    let mut open = HashSet::new();
    loop {
        let filter = RunFilter { workflow: None, states: vec![RunState::Running], before, limit: PAGE };
        let page = reader.runs(&filter).await?;
        for view in &page {
            let facts = &view.row.facts;
            open.insert(facts.run_id);
            let limit = match limits.get(&facts.version_id) {
                Some(limit) => *limit,
                None => {
                    let limit = match read_version(&**reader, facts.run_id, facts.version_id).await {
                        Ok(compiled) => compiled.workflow.timeout,
                        Err(error @ EngineError::Store(_)) => return Err(error),
                        // A version that this build cannot read is another build's to look after.
                        Err(_) => None,
                    };
                    limits.insert(facts.version_id, limit);
                    limit
                }
            };
            let Some(limit) = limit else { continue };
            let due = view.row.projection.started_at.unwrap_or(facts.created_at) + limit;
            if due <= horizon && watched.insert(facts.run_id) {
                tokio::spawn(end_at(Arc::clone(shared), facts.run_id, due));
            }
        }
        before = page.last().map(|view| view.row.facts.run_id);
        if page.len() < PAGE as usize {
            break;
        }
    }
    watched.retain(|run_id| open.contains(run_id));
    Ok(())
}

/// Ends a run at this instant, unless it is over by then.
async fn end_at(shared: Arc<Shared>, run_id: RunId, due: Timestamp) {
    tokio::time::sleep(due.since(shared.now())).await;
    let (reply, answer) = tokio::sync::oneshot::channel();
    shared.command(Command::Lane(run_id, Job::Abort { cause: Cause::RunTimeout }, Some(reply)));
    match answer.await {
        // Over, or being stopped already: by somebody, or by the other process that looks after its limit.
        Ok(Ok(()) | Err(EngineError::Rejected { .. })) | Err(_) => {}
        Ok(Err(error)) => shared.warn(Some(run_id), format!("ending the run at its time limit: {error}")),
    }
}

/// Ends a run when its own time limit has passed.
pub(crate) fn watch_run(shared: &Arc<Shared>, run_id: RunId, at: Timestamp) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let Some(mut end) = locked(&shared.runs).get(&run_id).map(tokio::sync::watch::Sender::subscribe) else {
            return;
        };
        let over = tokio::select! {
            () = tokio::time::sleep(at.since(shared.now())) => false,
            _ = end.wait_for(Option::is_some) => true,
        };
        if !over {
            end_at(shared, run_id, at).await;
        }
    });
}
