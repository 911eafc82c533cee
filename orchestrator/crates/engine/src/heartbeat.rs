//! Renews the lease, and compares what the store says this worker executes with what it knows of (engine.md F7):
//! what the store no longer knows is stopped; what nobody here knows is handed back; cancels are delivered.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::StreamExt;
use updraft_model::id::AttemptId;
use updraft_model::record::WorkRow;
use updraft_model::state::Cause;
use updraft_store::Wake;

use crate::committer::{Command, lost};
use crate::owned::Stop;
use crate::shared::{Phase, Shared, locked};

/// How long an unaccounted row may wait for its claim's answer.
const ORPHAN_AFTER: Duration = Duration::from_secs(5);

/// Runs until the engine stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut orphans: HashMap<AttemptId, Instant> = HashMap::new();
    let mut failures = 0_u32;
    loop {
        let pause = match failures {
            0 if orphans.is_empty() => shared.config.heartbeat,
            0 => ORPHAN_AFTER.min(shared.config.heartbeat),
            _ => Duration::from_secs(1).min(shared.config.heartbeat),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.beat_wanted.notified() => {}
        }
        if shared.phase() == Phase::Stopped {
            return;
        }
        let sent = Instant::now();
        match shared.config.store.beat(shared.worker_no()).await {
            Ok(beaten) if beaten.active => {
                failures = 0;
                *locked(&shared.trusted_until) = sent + shared.config.trust;
                shared.trust_renewed.notify_waiters();
                if shared.claims_refused.swap(false, Ordering::AcqRel) {
                    shared.command(Command::Registered);
                }
                reconcile(&shared, sent, &beaten.executing, &mut orphans);
                if shared.config.poll.is_some() {
                    shared.command(Command::Changed(None));
                }
            }
            Ok(_) => declared_dead(&shared).await,
            Err(error) => {
                failures += 1;
                if failures == 1 {
                    shared.warn(None, format!("the heartbeat failed: {error}; running tasks go on"));
                }
            }
        }
    }
}

fn reconcile(shared: &Shared, sent: Instant, executing: &[WorkRow], orphans: &mut HashMap<AttemptId, Instant>) {
    let owned = locked(&shared.owned).clone();
    let mut known: HashMap<AttemptId, &WorkRow> = HashMap::with_capacity(executing.len());
    for row in executing {
        if let Some(attempt_id) = row.attempt_id {
            known.insert(attempt_id, row);
        }
    }
    for (attempt_id, attempt) in &owned {
        match known.get(attempt_id) {
            Some(row) if row.cancel_at.is_some() => attempt.stop(Stop::Cancel),
            Some(_) => {}
            // Claimed before the question was asked, and still not there: somebody else has it now.
            None if attempt.claimed + ORPHAN_AFTER < sent => {
                shared.warn(
                    Some(attempt.run_id),
                    format!(
                        "attempt {} of `{}` is no longer ours; its body is stopped",
                        attempt.dispatch_no, attempt.key
                    ),
                );
                attempt.stop(Stop::Fenced);
            }
            None => {}
        }
    }
    orphans.retain(|attempt_id, _| known.contains_key(attempt_id) && !owned.contains_key(attempt_id));
    for (attempt_id, row) in known {
        if owned.contains_key(&attempt_id) {
            continue;
        }
        let since = *orphans.entry(attempt_id).or_insert(sent);
        if sent.duration_since(since) >= ORPHAN_AFTER {
            orphans.remove(&attempt_id);
            shared.command(Command::Finish(Box::new(lost(row, attempt_id, Cause::Orphaned))));
        }
    }
}

/// Others have taken this worker for dead: everything it runs is theirs now. It starts over under a new number.
async fn declared_dead(shared: &Shared) {
    shared.warn(None, "this worker was declared dead by others; its tasks are stopped and it registers anew");
    for attempt in locked(&shared.owned).values() {
        attempt.stop(Stop::Fenced);
    }
    match shared.config.store.register(&shared.config.worker_info()).await {
        Ok(worker_no) => {
            shared.set_worker_no(worker_no);
            shared.claims_refused.store(false, Ordering::Release);
            *locked(&shared.trusted_until) = Instant::now() + shared.config.trust;
            shared.trust_renewed.notify_waiters();
            shared.command(Command::Registered);
        }
        Err(error) => shared.warn(None, format!("registering failed: {error}; this is tried again")),
    }
}

/// Passes on hints from other processes until the store's stream ends.
pub(crate) async fn listen(shared: Arc<Shared>) {
    let mut wakes = shared.config.store.wakes();
    while let Some(wake) = wakes.next().await {
        match wake {
            Wake::Cancel(worker_no) if worker_no == shared.worker_no() => shared.beat_wanted.notify_one(),
            Wake::Cancel(_) => {}
            Wake::Queue(queue) => shared.command(Command::Look(Some(queue))),
            Wake::Run(run_id) => {
                if shared.config.poll.is_some() {
                    shared.command(Command::Changed(Some(run_id)));
                }
            }
            Wake::Everything => {
                shared.beat_wanted.notify_one();
                shared.command(Command::Look(None));
                shared.command(Command::Changed(None));
            }
        }
    }
    if shared.phase() < Phase::Stopped {
        shared.warn(None, "the store sends no more hints; looks at intervals go on");
    }
}
