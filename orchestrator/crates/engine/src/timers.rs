//! Retry timers and run time limits: sleeps until the earliest one, then makes due rows ready. No run lock is taken for
//! a retry (engine.md F4).

use std::sync::Arc;
use std::time::Duration;

use updraft_model::id::RunId;
use updraft_model::state::Cause;
use updraft_model::time::Timestamp;

use crate::committer::trouble_backoff;
use crate::committer::{Command, Job};
use crate::shared::{Phase, Shared, locked};

/// Most timers made ready in one statement.
const LIMIT: u32 = 500;

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

/// Ends a run when its own time limit has passed.
pub(crate) fn watch_run(shared: &Arc<Shared>, run_id: RunId, at: Timestamp) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let Some(mut end) = locked(&shared.runs).get(&run_id).map(tokio::sync::watch::Sender::subscribe) else {
            return;
        };
        tokio::select! {
            () = tokio::time::sleep(at.since(shared.now())) => {
                shared.command(Command::Lane(run_id, Job::Abort { cause: Cause::RunTimeout }, None));
            }
            _ = end.wait_for(Option::is_some) => {}
        }
    });
}
