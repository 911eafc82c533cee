//! What the committer does when the store does not answer as it should: wait, ask, spool, or find the guilty run.

use std::time::Duration;

use updraft_model::id::{AttemptId, RunId, Stamp};
use updraft_model::input::AttemptResult;
use updraft_model::record::WorkRow;
use updraft_model::state::Cause;
use updraft_store::{Expected, RunCommit, StoreError};

use super::Committer;
use super::command::{Finish, Item};
use super::commit::answer;
use crate::error::EngineError;
use crate::shared::Phase;
use crate::spool::Spooled;

/// What tells whether a commit was applied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    run_id: RunId,
    version: u64,
    stamp: Stamp,
}

impl Identity {
    pub(super) fn of(commit: &RunCommit) -> Self {
        let version = match &commit.expected {
            Expected::New(_) => 1,
            Expected::At { version, .. } => version + 1,
        };
        Self { run_id: commit.run_id, version, stamp: commit.stamp }
    }
}

/// Wait before try `n` (from 1), doubling, with jitter from a fresh id.
pub(crate) fn backoff(bounds: (Duration, Duration), n: u32) -> Duration {
    let full = bounds.0.saturating_mul(1_u32 << n.saturating_sub(1).min(16)).min(bounds.1);
    let random = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    full / 2 + full / 2 * random / 255
}

impl Committer {
    /// Says what is wrong, once per outage, and waits a little.
    pub(super) async fn pause(&mut self, doing: &str, error: &StoreError) {
        self.failures += 1;
        let passing = match error {
            StoreError::Conflict(_) => true,
            StoreError::Unavailable(_)
            | StoreError::UnknownOutcome(_)
            | StoreError::Rejected(_)
            | StoreError::Full(_)
            | StoreError::Held { .. }
            | StoreError::Inconsistent { .. }
            | StoreError::Schema(_)
            | StoreError::ReadOnly(_)
            | StoreError::NoRun(_)
            | StoreError::Other(_) => false,
        };
        if self.failures == 1 && !passing {
            self.shared.warn(
                None,
                format!(
                    "while {doing}: {error}. Running tasks go on, results are kept on disk, and this is tried again"
                ),
            );
        }
        let wait = backoff(self.shared.config.backoff, if passing { 1 } else { self.failures });
        tokio::time::sleep(if passing { wait / 20 } else { wait }).await;
    }

    /// Waits, with the results safe on disk; answers the items to try again. In an abort the spool is where they stay.
    pub(super) async fn postpone(&mut self, items: Vec<Item>, doing: &str, error: &StoreError) -> Vec<Item> {
        let items = self.keep(items);
        let last_try = self.shared.phase() >= Phase::Aborting && self.failures >= 3;
        self.pause(doing, error).await;
        if !last_try {
            return items;
        }
        for item in items {
            match item {
                Item::Finish(finish) => self.shared.disown(finish.attempt_id),
                Item::Create(mut create) => answer(&mut create, Err(EngineError::Stopping)),
            }
        }
        Vec::new()
    }

    /// Writes results to the spool, if they are not there yet.
    pub(super) fn keep(&mut self, mut items: Vec<Item>) -> Vec<Item> {
        for item in &mut items {
            match item {
                Item::Finish(finish) => self.spool(finish),
                Item::Create(_) => {}
            }
        }
        items
    }

    pub(super) fn spool(&self, finish: &mut Finish) {
        if finish.spooled {
            return;
        }
        let Some(result) = Spooled::of(finish) else { return };
        match self.shared.spool.put(&result) {
            Ok(()) => finish.spooled = true,
            Err(error) => self.shared.warn(
                Some(finish.run_id),
                format!("the result of `{}` cannot be kept on disk while the store is away: {error}", finish.key),
            ),
        }
    }

    pub(super) fn unspool(&self, run_id: RunId, attempt_id: AttemptId) {
        if let Err(error) = self.shared.spool.remove(run_id, attempt_id) {
            self.shared.warn(Some(run_id), format!("a spooled result cannot be removed: {error}"));
        }
    }

    /// Asks until the store says whether a batch was applied: batches are atomic, so one run tells for all (F8).
    pub(super) async fn was_applied(&mut self, runs: &[Identity], error: &StoreError) -> bool {
        let Some(first) = runs.first().copied() else { return false };
        self.pause("waiting for the outcome of a commit", error).await;
        loop {
            match self.shared.config.store.outcome(first.run_id, first.version, first.stamp).await {
                Ok(applied) => return applied,
                // The spool and the fences make a wrong guess harmless: a result that was applied is fenced off.
                Err(_) if self.shared.phase() >= Phase::Aborting && self.failures >= 3 => return false,
                Err(error) => self.pause("asking for the outcome of a commit", &error).await,
            }
        }
    }

    /// Rows that carry one of these attempt ids: what a claim whose answer was lost had claimed (F7).
    pub(super) async fn claimed_rows(&mut self, attempts: &[AttemptId]) -> Vec<WorkRow> {
        if attempts.is_empty() {
            return Vec::new();
        }
        match self.shared.config.store.beat(self.shared.worker_no()).await {
            Ok(beaten) => beaten
                .executing
                .into_iter()
                .filter(|row| row.attempt_id.is_some_and(|id| attempts.contains(&id)))
                .collect(),
            // Whatever was claimed shows up in a later heartbeat and is handed back there.
            Err(_) => Vec::new(),
        }
    }

    /// One run is left and the store refuses its data: it goes to a lane, where its results are tried one by one.
    pub(super) async fn guilty(&mut self, items: Vec<Item>, error: StoreError) {
        let text = error.to_string();
        let mut error = Some(error);
        for item in items {
            match item {
                Item::Create(mut create) => {
                    self.forget(create.facts.run_id);
                    let error = error.take().unwrap_or_else(|| StoreError::Rejected(text.clone()));
                    answer(&mut create, Err(EngineError::Store(error)));
                }
                Item::Finish(finish) => {
                    self.shared.warn(Some(finish.run_id), format!("the store refuses a result of this run: {text}"));
                    self.lanes.add(*finish);
                }
            }
        }
        self.drive_lanes().await;
    }
}

/// The same attempt, ended because its result cannot be stored.
pub(super) fn degraded(finish: &Finish, error: &StoreError) -> Finish {
    Finish {
        result: AttemptResult::Rejected {
            cause: Cause::StoreRejected,
            class: "StoreRejected".to_owned(),
            message: format!("the store refused the result of this attempt: {error}"),
        },
        output: None,
        items: Vec::new(),
        metrics: Vec::new(),
        ..finish.clone()
    }
}

impl Spooled {
    /// `None` for results that a restart would find out anyway (lost, cancelled).
    fn of(finish: &Finish) -> Option<Self> {
        match &finish.result {
            AttemptResult::Lost { .. } | AttemptResult::Cancelled => None,
            AttemptResult::Succeeded { .. }
            | AttemptResult::Skipped { .. }
            | AttemptResult::Unwanted { .. }
            | AttemptResult::Failed { .. }
            | AttemptResult::TimedOut { .. }
            | AttemptResult::Panicked { .. }
            | AttemptResult::Rejected { .. } => Some(Self {
                run_id: finish.run_id,
                key: finish.key.clone(),
                dispatch_no: finish.dispatch_no,
                attempt_id: finish.attempt_id,
                result: finish.result.clone(),
                started_at: finish.started_at,
                output: finish.output.as_ref().map(|(text, _)| text.clone()),
                items: finish.items.clone(),
                metrics: finish.metrics.clone(),
            }),
        }
    }
}
