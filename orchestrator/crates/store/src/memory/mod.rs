//! The reference model: a store in memory, deliberately plain. It is what the SQL stores are compared with, and what the
//! engine's own tests and simulations run on. Nothing outlives it.
//!
//! Its clock is given, so that leases follow a test's virtual time.

mod logs;
mod read;
mod scheduling;
mod tables;
mod upkeep;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::broadcast;
use updraft_model::id::{AttemptId, RunId, Stamp, WorkerNo};
use updraft_model::record::WorkRow;
use updraft_model::state::Place;
use updraft_model::time::Timestamp;

use crate::schema::LEASE_MS;
use crate::{
    Batch, Beaten, Committed, Counters, Expected, Lane, LaneFn, LaneOutcome, Loaded, Locked, Look, NewVersion, NextDue,
    Peer, Published, Purpose, Refusal, Store, StoreError, TaskStateKey, Wake, WorkerInfo, WorkerState, check,
};
use tables::Tables;

/// Hints that may wait for a slow listener before it is told to look at everything.
const WAKES: usize = 256;

/// The store's clock.
type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A store in memory. Clones share their content.
#[derive(Clone)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
    counters: Arc<Counters>,
    wakes: broadcast::Sender<Wake>,
    clock: Clock,
    outages: Arc<AtomicU32>,
}

impl MemoryStore {
    /// An empty store whose leases follow this clock.
    pub fn new(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            tables: Arc::default(),
            counters: Arc::default(),
            wakes: broadcast::channel(WAKES).0,
            clock: Arc::new(clock),
            outages: Arc::default(),
        }
    }

    /// The next so many writes of publishers fail, as if the store were away: for tests.
    pub fn break_publications(&self, times: u32) {
        self.outages.store(times, Ordering::Relaxed);
    }

    fn outage(&self) -> Result<(), StoreError> {
        let left = self.outages.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() { Err(StoreError::Unavailable("a test broke it".to_owned())) } else { Ok(()) }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lease(&self) -> Timestamp {
        Timestamp::from_millis((self.clock)().as_millis().saturating_add(LEASE_MS))
    }

    /// Counts one request, and a commit if it wrote.
    fn count(&self, purpose: Purpose, wrote: bool) {
        self.counters.round_trip(purpose);
        if wrote {
            self.counters.committed(purpose);
        }
    }

    fn wake(&self, wake: Wake) {
        // No receiver: nobody waits for hints.
        let _ = self.wakes.send(wake);
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn load(&self, runs: &[(RunId, Option<(u64, Stamp)>)]) -> Result<Vec<Loaded>, StoreError> {
        self.count(Purpose::Engine, false);
        let tables = self.tables();
        Ok(runs.iter().map(|(run, known)| tables.load(*run, *known)).collect())
    }

    async fn commit(&self, batch: &Batch) -> Result<Committed, StoreError> {
        check::batch(batch)?;
        let committed = self.tables().commit(batch)?;
        match &committed {
            Committed::Applied { .. } => self.count(Purpose::Engine, true),
            Committed::Refused { .. } => self.count(Purpose::Engine, false),
        }
        Ok(committed)
    }

    async fn commit_locked(
        &self,
        run: RunId,
        lane: Lane,
        at: Timestamp,
        decide: LaneFn,
    ) -> Result<LaneOutcome, StoreError> {
        let mut tables = self.tables();
        let Some(loaded) = tables.full(run) else {
            self.count(Purpose::Engine, false);
            return Ok(LaneOutcome::Missing);
        };
        let expected = Expected::At { version: loaded.row.version, stamp: loaded.row.stamp };
        // What is decided may be to write nothing: nothing is touched before.
        let (removed, executing) = match lane {
            Lane::Plain | Lane::Clear => (Vec::new(), tables.executing(run, None)),
            Lane::Reap(worker) => (Vec::new(), tables.executing(run, Some(worker))),
            Lane::Cancel => tables.cancelling(run, at),
        };
        let cancelled = (lane == Lane::Cancel).then(|| (removed.clone(), executing.clone()));
        let mut wakes = Vec::new();
        if lane == Lane::Cancel {
            wakes.extend(executing.iter().filter_map(|row| row.worker_no).map(Wake::Cancel));
        }
        let held = if lane == Lane::Clear { executing.clone() } else { Vec::new() };
        let room = if lane == Lane::Clear { tables.room(loaded.row.facts.workflow_id) } else { None };
        let Some(commit) = decide(Locked { run: loaded, removed, executing, room }) else {
            self.count(Purpose::Engine, false);
            return Ok(LaneOutcome::Nothing);
        };
        if commit.run_id != run || commit.expected != expected {
            return Err(StoreError::Conflict(format!("the decision for run {run} is not about its version")));
        }
        check::run_commit(&commit)?;
        wakes.extend(check::stopped_by(&commit, &held));
        let ready = commit.work.iter().filter(|row| row.place == Place::Ready);
        wakes.extend(ready.map(|row| Wake::Queue(row.queue.clone())));
        wakes.push(Wake::Run(run));
        wakes.dedup();
        if let Some(Refusal::Fenced(keys)) = tables.refusal(&commit) {
            self.count(Purpose::Engine, false);
            return Ok(LaneOutcome::Fenced(keys));
        }
        tables.check(&commit)?;
        if let Some((removed, flagged)) = cancelled {
            tables.cancel(run, &removed, flagged);
        }
        tables.apply(&commit, at);
        drop(tables);
        self.count(Purpose::Engine, true);
        wakes.into_iter().for_each(|wake| self.wake(wake));
        Ok(LaneOutcome::Applied)
    }

    async fn claim(
        &self,
        worker_no: WorkerNo,
        queue: &str,
        attempts: &[AttemptId],
        at: Timestamp,
    ) -> Result<Vec<WorkRow>, StoreError> {
        let mut tables = self.tables();
        let claimed =
            if tables.is_active(worker_no) { tables.pick(worker_no, queue, attempts, at) } else { Vec::new() };
        self.count(Purpose::Poll, !claimed.is_empty());
        Ok(claimed)
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let moved = self.tables().due(now, limit);
        self.count(Purpose::Poll, !moved.is_empty());
        let count = u32::try_from(moved.len()).unwrap_or(u32::MAX);
        let mut queues = moved;
        queues.sort();
        queues.dedup();
        queues.into_iter().for_each(|queue| self.wake(Wake::Queue(queue)));
        Ok(count)
    }

    async fn outcome(&self, run: RunId, version: u64, stamp: Stamp) -> Result<bool, StoreError> {
        self.count(Purpose::Engine, false);
        let tables = self.tables();
        Ok(tables.log(run).iter().any(|entry| entry.version == version && entry.stamp == stamp))
    }

    async fn register(&self, info: &WorkerInfo) -> Result<WorkerNo, StoreError> {
        self.count(Purpose::Heartbeat, true);
        Ok(self.tables().register(info, self.lease()))
    }

    async fn beat(&self, worker_no: WorkerNo) -> Result<Beaten, StoreError> {
        let lease = self.lease();
        let mut tables = self.tables();
        let active = tables.renew(worker_no, lease);
        self.count(Purpose::Heartbeat, active);
        Ok(Beaten { executing: tables.rows_of(worker_no), active, now: (self.clock)() })
    }

    async fn leave(&self, worker_no: WorkerNo) -> Result<(), StoreError> {
        let left = self.tables().set_state(worker_no, WorkerState::Gone);
        self.count(Purpose::Heartbeat, left);
        Ok(())
    }

    async fn look(&self, _worker_no: WorkerNo) -> Result<Look, StoreError> {
        self.count(Purpose::Heartbeat, false);
        Ok(Look { session: 1, peers: self.tables().peers(), now: (self.clock)(), certain: false })
    }

    async fn suspect(&self, seen: &Peer) -> Result<bool, StoreError> {
        let suspected = self.tables().suspect(seen);
        self.count(Purpose::Heartbeat, suspected);
        Ok(suspected)
    }

    async fn executing(&self, worker_no: WorkerNo) -> Result<Vec<WorkRow>, StoreError> {
        self.count(Purpose::Heartbeat, false);
        Ok(self.tables().rows_of(worker_no))
    }

    async fn peers(&self) -> Result<Vec<Peer>, StoreError> {
        self.count(Purpose::Heartbeat, false);
        Ok(self.tables().peers())
    }

    async fn condemn(&self, seen: &Peer) -> Result<bool, StoreError> {
        let condemned = self.tables().condemn(seen);
        self.count(Purpose::Heartbeat, condemned);
        Ok(condemned)
    }

    async fn next_due(&self, queues: &[String]) -> Result<NextDue, StoreError> {
        self.count(Purpose::Poll, false);
        Ok(self.tables().next_due(queues))
    }

    fn wakes(&self) -> BoxStream<'static, Wake> {
        futures::stream::unfold(self.wakes.subscribe(), |mut receiver| async move {
            match receiver.recv().await {
                Ok(wake) => Some((wake, receiver)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((Wake::Everything, receiver)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })
        .boxed()
    }

    async fn publish(&self, version: &NewVersion, at: Timestamp) -> Result<Published, StoreError> {
        for (what, text) in [("workflow", &version.workflow), ("source", &version.source), ("path", &version.path)] {
            check::text(what, text, usize::MAX)?;
        }
        let (published, wrote) = self.tables().publish(version, at);
        self.count(Purpose::Admin, wrote);
        Ok(published)
    }

    async fn put_task_state(
        &self,
        at: &TaskStateKey,
        by: AttemptId,
        value: &str,
    ) -> Result<Option<String>, StoreError> {
        check::kept_value(&at.name, value)?;
        let stands = self.tables().put_task_state(at, by, value);
        self.count(Purpose::Admin, stands.is_some());
        Ok(stands)
    }

    async fn task_state(&self, at: &TaskStateKey) -> Result<Option<String>, StoreError> {
        self.count(Purpose::Admin, false);
        Ok(self.tables().task_state(at))
    }

    async fn shared_state(&self, scope: &str, key: &str) -> Result<Option<(String, u64)>, StoreError> {
        self.count(Purpose::Admin, false);
        Ok(self.tables().shared_state(scope, key))
    }

    async fn set_shared_state(
        &self,
        scope: &str,
        key: &str,
        value: &str,
        expected: u64,
        _at: Timestamp,
    ) -> Result<bool, StoreError> {
        check::text("scope", scope, usize::MAX)?;
        check::kept_value(key, value)?;
        let set = self.tables().set_shared_state(scope, key, value, expected);
        self.count(Purpose::Admin, set);
        Ok(set)
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    async fn bare_commit(&self) -> Result<(), StoreError> {
        self.count(Purpose::Bench, true);
        Ok(())
    }

    async fn durable(&self) -> Result<Result<(), String>, StoreError> {
        Ok(Err("the memory store keeps nothing".to_owned()))
    }

    async fn close(&self) {}
}
