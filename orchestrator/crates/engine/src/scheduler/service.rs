//! The service: sleeps until the next instant, fires what is due, starts what may start.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use updraft_model::id::WorkflowId;
use updraft_model::time::Timestamp;
use updraft_store::StoreError;
use updraft_store::scheduling::{Due, FIRE_BATCH, Fired};

use super::decide::start_fn;
use super::{SchedulerConfig, Signals, Versions, fire_fn};
use crate::committer::trouble_backoff;
use crate::shared::locked;

/// Longest sleep: the clock may have been set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);
/// How long to leave schedules alone that somebody else holds, or that this build cannot read.
const LEAVE_ALONE: Duration = Duration::from_millis(250);
/// Time between two looks at the store's clock.
const SAMPLE: Duration = Duration::from_secs(30);
/// Clocks that differ by less are as clocks are, in milliseconds.
const WORTH_SAYING: i64 = 2000;
/// Runs of one workflow that are started before others get their turn.
const ROUNDS: usize = 4;

pub(super) struct Service {
    config: SchedulerConfig,
    signals: Arc<Signals>,
    ended: mpsc::UnboundedReceiver<WorkflowId>,
    versions: Versions,
    /// When a schedule is to be looked at next.
    next_fire: Option<Timestamp>,
    /// The next look at what nobody told of.
    next_look: Instant,
    next_sweep: Instant,
    /// What the store's clock is ahead of this host's, in milliseconds.
    ahead: i64,
    next_sample: Instant,
    /// The store knows by which zone database fires are computed.
    zones_told: bool,
    failures: u32,
}

/// Why the service woke up.
enum Woken {
    Stop,
    Changed,
    Ended(Option<WorkflowId>),
    Time,
}

impl Service {
    pub(super) fn new(
        config: SchedulerConfig,
        signals: Arc<Signals>,
        ended: mpsc::UnboundedReceiver<WorkflowId>,
    ) -> Self {
        let now = Instant::now();
        Self {
            config,
            signals,
            ended,
            versions: Versions::default(),
            next_fire: None,
            next_look: now,
            next_sweep: now,
            ahead: 0,
            next_sample: now,
            zones_told: false,
            failures: 0,
        }
    }

    /// The time that decides.
    fn now(&self) -> Timestamp {
        let here = self.config.clock.now();
        Timestamp::from_millis(here.as_millis().saturating_add(self.ahead))
    }

    /// Compares this host's clock with the store's.
    async fn sample(&mut self) -> Result<(), StoreError> {
        let before = self.config.clock.now();
        let Some(there) = self.config.scheduling.clock().await? else { return Ok(()) };
        // The answer was made somewhere between.
        let here = before.as_millis().midpoint(self.config.clock.now().as_millis());
        let ahead = there.as_millis() - here;
        if ahead.abs() >= WORTH_SAYING && (ahead - self.ahead).abs() >= WORTH_SAYING {
            tracing::warn!(
                ahead_ms = ahead,
                "the store's clock and this host's differ; the store's decides what is due"
            );
        }
        self.ahead = ahead;
        Ok(())
    }

    pub(super) async fn run(mut self) {
        let mut look = true;
        let mut start: BTreeSet<WorkflowId> = BTreeSet::new();
        loop {
            match self.turn(look, &mut start).await {
                Ok(()) => {
                    self.failures = 0;
                    let mut health = locked(&self.signals.health);
                    (health.looked_at, health.error) = (Some(self.now()), None);
                }
                Err(error) => {
                    self.failures += 1;
                    if self.failures == 1 {
                        tracing::warn!(%error, "schedules cannot be looked at; this is tried again");
                    }
                    locked(&self.signals.health).error = Some(error.to_string());
                    let pause = trouble_backoff(self.config.backoff, self.failures);
                    tokio::select! {
                        () = self.signals.stop.notified() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                    look = true;
                    continue;
                }
            }
            look = match self.sleep().await {
                Woken::Stop => return,
                Woken::Changed => true,
                Woken::Ended(workflow) => {
                    start.extend(workflow);
                    while let Ok(workflow) = self.ended.try_recv() {
                        start.insert(workflow);
                    }
                    false
                }
                Woken::Time => false,
            };
        }
    }

    async fn sleep(&mut self) -> Woken {
        let until_fire = self.next_fire.map(|next| next.since(self.now()).min(LONGEST_SLEEP));
        let fire = until_fire.map(|span| Instant::now() + span);
        let look = self.config.poll.filter(|_| self.config.fires).map(|_| self.next_look);
        let wake = fire.into_iter().chain(look).chain([self.next_sweep]).min().unwrap_or(self.next_sweep);
        tokio::select! {
            biased;
            () = self.signals.stop.notified() => Woken::Stop,
            () = self.signals.changed.notified() => Woken::Changed,
            workflow = self.ended.recv() => Woken::Ended(workflow),
            () = tokio::time::sleep_until(wake) => Woken::Time,
        }
    }

    /// One round of what there is to do. What is left of `start` after an error is done in the next one.
    async fn turn(&mut self, changed: bool, start: &mut BTreeSet<WorkflowId>) -> Result<(), StoreError> {
        if self.config.store_clock && Instant::now() >= self.next_sample {
            self.sample().await?;
            self.next_sample = Instant::now() + SAMPLE;
        }
        if self.config.fires && !self.zones_told {
            let hurried = self.config.scheduling.zone_rules(self.config.tzdb, self.now()).await?;
            if hurried > 0 {
                tracing::info!(
                    release = self.config.tzdb,
                    schedules = hurried,
                    "next fires follow another zone database"
                );
            }
            self.zones_told = true;
        }
        if Instant::now() >= self.next_sweep {
            start.extend(self.config.scheduling.startable().await?);
            self.next_sweep = Instant::now() + self.config.sweep;
        }
        let mut look = changed || self.config.poll.is_some() && Instant::now() >= self.next_look;
        while let Some(workflow) = start.first().copied() {
            look |= self.start(workflow).await?;
            start.remove(&workflow);
        }
        if !self.config.fires {
            return Ok(());
        }
        let now = self.now();
        if look || self.next_fire.is_some_and(|next| next <= now) {
            let left = self.fire().await?;
            if let Some(poll) = self.config.poll {
                self.next_look = Instant::now() + poll;
            }
            self.next_fire = self.config.scheduling.next_fire().await?;
            let now = self.now();
            if left && self.next_fire.is_some_and(|next| next <= now) {
                self.next_fire = Some(now + LEAVE_ALONE);
            }
        }
        Ok(())
    }

    /// Starts queued runs of a workflow; true if its schedule is due now.
    async fn start(&self, workflow: WorkflowId) -> Result<bool, StoreError> {
        let scheduling = &self.config.scheduling;
        let mut due = false;
        for _ in 0..ROUNDS {
            let now = self.now();
            let (decide, not_started) = start_fn(&self.config, &self.versions, now);
            let did = scheduling.start_runs(workflow, now, decide).await?;
            due |= did.schedule_due;
            let not_started = std::mem::take(&mut *locked(&not_started));
            for (run_id, reason) in not_started.failed {
                tracing::error!(run.id = %run_id, "a queued run cannot be started: {reason}");
            }
            let unknown = self.versions.unknown(not_started.unknown);
            if unknown.is_empty() {
                break;
            }
            self.read(&unknown).await?;
        }
        Ok(due)
    }

    async fn read(&self, versions: &[updraft_model::id::VersionId]) -> Result<(), StoreError> {
        let stored = self.config.scheduling.compiled(versions).await?;
        for (version, reason) in self.versions.learn(stored) {
            tracing::error!(workflow.version = %version, "a workflow version cannot be read: {reason}");
        }
        Ok(())
    }

    /// Fires everything that is due; true if something due was left alone.
    async fn fire(&self) -> Result<bool, StoreError> {
        loop {
            let now = self.now();
            let due = self.config.scheduling.due_schedules(now, FIRE_BATCH).await?;
            if due.is_empty() {
                return Ok(false);
            }
            let unknown = self.versions.unknown(due.iter().map(|due| due.version_id));
            if !unknown.is_empty() {
                self.read(&unknown).await?;
            }
            let fired = self.fire_all(&due, now).await?;
            {
                let mut health = locked(&self.signals.health);
                health.created += u64::from(fired.created);
                health.skipped += fired.skipped;
            }
            if fired.moved == 0 {
                return Ok(true);
            }
        }
    }

    /// Fires these; what the store refuses is cut in halves until the guilty ones are alone, and they are put aside.
    async fn fire_all(&self, due: &[Due], now: Timestamp) -> Result<Fired, StoreError> {
        let mut groups: Vec<&[Due]> = vec![due];
        let mut all = Fired::default();
        while let Some(group) = groups.pop() {
            let ids: Vec<WorkflowId> = group.iter().map(|due| due.workflow_id).collect();
            let decide = fire_fn(&self.config, &self.versions, now);
            match (self.config.scheduling.fire(&ids, now, decide).await, group) {
                (Ok(fired), _) => {
                    all.moved += fired.moved;
                    all.created += fired.created;
                    all.skipped += fired.skipped;
                }
                (Err(error), [alone]) if is_about_data(&error) => {
                    tracing::error!(workflow.no = %alone.workflow_id, %error, "a schedule is put aside");
                    self.config.scheduling.quarantine(alone.workflow_id, &error.to_string(), now).await?;
                    all.moved += 1;
                }
                (Err(error), group) if is_about_data(&error) => {
                    let (first, second) = group.split_at(group.len() / 2);
                    groups.extend([second, first]);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(all)
    }
}

fn is_about_data(error: &StoreError) -> bool {
    match error {
        StoreError::Rejected(_) | StoreError::Inconsistent { .. } | StoreError::Other(_) | StoreError::NoRun(_) => true,
        StoreError::Unavailable(_)
        | StoreError::UnknownOutcome(_)
        | StoreError::Conflict(_)
        | StoreError::Full(_)
        | StoreError::Held { .. }
        | StoreError::Schema(_)
        | StoreError::ReadOnly(_) => false,
    }
}
