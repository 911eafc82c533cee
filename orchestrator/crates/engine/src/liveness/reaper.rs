//! Carries out what was judged about other workers: compare-and-set on the worker's row, then one lane per run in which it
//! executes. Several processes may do so at once: a lane that finds nothing left writes nothing.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tokio::sync::mpsc;
use updraft_model::id::{AttemptId, RunId};
use updraft_model::record::WorkRow;
use updraft_model::time::Timestamp;
use updraft_store::logs::{LogKey, LogPart};
use updraft_store::{Peer, StoreError, WorkerState};

use super::observer::Verdict;
use crate::child;
use crate::committer::{Command, Job, Takeover};
use crate::error::EngineError;
use crate::shared::{Phase, Shared};

/// Runs until the engine stops.
pub(crate) async fn run(shared: Arc<Shared>, mut verdicts: mpsc::UnboundedReceiver<Vec<Verdict>>) {
    let mut reaper = Reaper { shared, left: HashSet::new() };
    while let Some(mut batch) = verdicts.recv().await {
        // Only the last look counts.
        while let Ok(newer) = verdicts.try_recv() {
            batch = newer;
        }
        for verdict in batch {
            if reaper.shared.phase() >= Phase::Aborting {
                return;
            }
            if let Err(error) = reaper.carry_out(verdict).await {
                reaper.shared.warn(None, format!("taking over from another worker: {error}; this is tried again"));
            }
        }
    }
}

struct Reaper {
    shared: Arc<Shared>,
    /// Attempts of suspects that must not be executed twice: they wait for the lease's end.
    left: HashSet<AttemptId>,
}

impl Reaper {
    async fn carry_out(&mut self, verdict: Verdict) -> Result<(), StoreError> {
        let store = Arc::clone(&self.shared.config.store);
        match verdict {
            Verdict::Suspect(peer, seen) => {
                if store.suspect(&peer).await? {
                    self.shared.warn(None, format!("{}: it gets no more work", words(&peer, seen)));
                    self.take_over(&peer, seen, true).await?;
                }
            }
            Verdict::Dead(peer, seen) => {
                if store.condemn(&peer).await? {
                    self.shared.warn(None, format!("{}: it is taken for dead", words(&peer, seen)));
                    self.take_over(&peer, seen, false).await?;
                }
            }
            Verdict::Sweep(peer, seen) => {
                let suspect = peer.state == WorkerState::Suspect;
                self.take_over(&peer, seen, suspect).await?;
            }
        }
        Ok(())
    }

    async fn take_over(&mut self, peer: &Peer, seen: Timestamp, suspect: bool) -> Result<(), StoreError> {
        let rows = self.shared.config.store.executing(peer.worker_no).await?;
        let mut by_run: BTreeMap<RunId, Vec<WorkRow>> = BTreeMap::new();
        for row in rows {
            if suspect && row.attempt_id.is_some_and(|attempt| self.left.contains(&attempt)) {
                continue;
            }
            by_run.entry(row.run_id).or_default().push(row);
        }
        if by_run.is_empty() {
            return Ok(());
        }
        if !suspect && peer.info.host == crate::config::host_name() {
            sweep_children(by_run.values().flatten()).await;
        }
        let takeover = Takeover { worker_no: peer.worker_no, suspect, words: words(peer, seen) };
        let mut asked = Vec::with_capacity(by_run.len());
        for (run_id, rows) in by_run {
            let (reply, answer) = tokio::sync::oneshot::channel();
            self.shared.command(Command::Lane(run_id, Job::Reap(takeover.clone()), Some(reply)));
            asked.push((run_id, rows, answer));
        }
        for (run_id, rows, answer) in asked {
            match answer.await {
                Ok(Ok(())) => {
                    self.close_logs(&rows).await;
                    if suspect {
                        self.left.extend(rows.iter().filter_map(|row| row.attempt_id));
                    }
                }
                // Its state is somebody else's business: broken, or over meanwhile.
                Ok(Err(EngineError::Rejected { .. } | EngineError::Broken { .. } | EngineError::NoRun(_))) => {
                    self.left.extend(rows.iter().filter_map(|row| row.attempt_id));
                }
                Ok(Err(error)) => self.shared.warn(Some(run_id), format!("taking over: {error}; this is tried again")),
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Nobody will add to the logs of attempts that were taken over: who follows them is told so.
    async fn close_logs(&self, rows: &[WorkRow]) {
        let Some(logs) = &self.shared.config.logs else { return };
        let close = async {
            let mut parts = Vec::new();
            let Some(worker_no) = rows.first().and_then(|row| row.worker_no) else { return Ok(()) };
            let held = self.shared.config.store.executing(worker_no).await?;
            for row in rows {
                let log =
                    LogKey { run_id: row.run_id, key: row.dispatch.key.clone(), dispatch_no: row.dispatch.dispatch_no };
                let held = held.iter().any(|one| one.attempt_id == row.attempt_id);
                if !held && logs.info(&log).await?.is_some_and(|info| !info.complete) {
                    parts.push(LogPart {
                        log,
                        chunks: Vec::new(),
                        bytes: 0,
                        lines: 0,
                        first_error: None,
                        gap: None,
                        complete: true,
                    });
                }
            }
            logs.append(&parts, self.shared.now()).await
        };
        if let Err(error) = close.await {
            tracing::debug!(%error, "logs of attempts that were taken over were not closed");
        }
    }
}

/// Children of a dead worker that outlived it must not work on beside the repeated attempts.
async fn sweep_children(rows: impl Iterator<Item = &WorkRow>) {
    let attempts: Vec<AttemptId> = rows.filter_map(|row| row.attempt_id).collect();
    let swept = tokio::task::spawn_blocking(move || {
        for attempt in attempts {
            child::sweep(None, &child::token_of(attempt));
        }
    });
    if let Err(error) = swept.await {
        tracing::warn!(%error, "left-over children were not looked for");
    }
}

/// Why its attempts are lost.
fn words(peer: &Peer, seen: Timestamp) -> String {
    let name = &peer.info.name;
    match peer.state {
        WorkerState::Gone => format!("worker {name} left"),
        WorkerState::Active | WorkerState::Draining | WorkerState::Suspect | WorkerState::Dead => {
            format!("worker {name} stopped answering at {} UTC", seen.to_datetime().format("%H:%M:%S"))
        }
    }
}
