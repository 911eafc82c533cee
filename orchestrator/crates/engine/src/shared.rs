//! What the engine's tasks share: configuration, who runs what, and the ways to tell each other. Decides nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, Semaphore, broadcast, mpsc, watch};
use updraft_model::id::{AttemptId, RunId, Stamp, WorkerNo};
use updraft_model::time::Timestamp;
use updraft_task::Effects;
use uuid::Uuid;

use crate::cache::Outputs;
use crate::child::Spawner;
use crate::committer::Command;
use crate::config::EngineConfig;
use crate::event::EngineEvent;
use crate::live::LiveItems;
use crate::logs::Shipping;
use crate::owned::Owned;
use crate::run_handle::RunEnd;
use crate::spool::Spool;

/// How far the engine is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Starts what is ready.
    Serving,
    /// Starts nothing new; running attempts go on.
    Draining,
    /// Attempts are being killed.
    Aborting,
    /// Over.
    Stopped,
}

/// See the module.
pub(crate) struct Shared {
    pub config: EngineConfig,
    pub commands: mpsc::UnboundedSender<Command>,
    pub events: broadcast::Sender<EngineEvent>,
    /// Attempts that this worker has claimed and whose end is not yet in the store.
    pub owned: Mutex<HashMap<AttemptId, Arc<Owned>>>,
    /// An attempt has left `owned`.
    pub released: Notify,
    /// Runs that somebody waits for.
    pub runs: Mutex<HashMap<RunId, watch::Sender<Option<RunEnd>>>>,
    pub outputs: Outputs,
    pub spool: Spool,
    pub spawner: Spawner,
    pub process_slots: Semaphore,
    /// Earliest timer that this engine knows of.
    pub next_timer: Mutex<Option<Timestamp>>,
    pub timer_changed: Notify,
    /// Queues that this engine serves.
    pub served: Mutex<BTreeSet<String>>,
    /// The lease was renewed.
    pub trust_renewed: Notify,
    /// A beat is wanted now.
    pub beat_wanted: Notify,
    trusted_until: Mutex<Option<Instant>>,
    /// Logs on their way to the store.
    pub shipping: Shipping,
    /// Parts of the work of attempts that run here.
    pub live: LiveItems,
    /// The store refused claims because this worker was not active.
    pub claims_refused: AtomicBool,
    phase: AtomicU8,
    worker_no: AtomicI64,
}

/// A poisoned lock still holds good data here: every holder leaves it whole.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A fresh id of an attempt.
pub(crate) fn new_attempt() -> AttemptId {
    AttemptId(Uuid::new_v4())
}

/// A fresh id of a commit.
pub(crate) fn new_stamp() -> Stamp {
    Stamp(Uuid::new_v4())
}

impl Shared {
    pub(crate) fn new(
        config: EngineConfig,
        worker_no: WorkerNo,
        commands: mpsc::UnboundedSender<Command>,
        spawner: Spawner,
    ) -> Self {
        Self {
            commands,
            events: broadcast::channel(8192).0,
            owned: Mutex::default(),
            released: Notify::new(),
            runs: Mutex::default(),
            outputs: Outputs::new(config.cache_bytes),
            spool: Spool::new(config.spool_dir.clone()),
            spawner,
            process_slots: Semaphore::new(config.process_slots.max(1) as usize),
            next_timer: Mutex::default(),
            timer_changed: Notify::new(),
            served: Mutex::new(config.queues.iter().cloned().collect()),
            trust_renewed: Notify::new(),
            beat_wanted: Notify::new(),
            trusted_until: Mutex::new(config.trust.map(|trust| Instant::now() + trust)),
            shipping: Shipping::default(),
            live: LiveItems::default(),
            claims_refused: AtomicBool::new(false),
            phase: AtomicU8::new(0),
            worker_no: AtomicI64::new(worker_no.0),
            config,
        }
    }

    pub(crate) fn worker_no(&self) -> WorkerNo {
        WorkerNo(self.worker_no.load(Ordering::Acquire))
    }

    pub(crate) fn set_worker_no(&self, worker_no: WorkerNo) {
        self.worker_no.store(worker_no.0, Ordering::Release);
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Serving,
            1 => Phase::Draining,
            2 => Phase::Aborting,
            _ => Phase::Stopped,
        }
    }

    /// Moves on; never back.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    /// Sends to the committer; it is gone only when the engine is.
    pub(crate) fn command(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    pub(crate) fn tell(&self, event: EngineEvent) {
        let _ = self.events.send(event);
    }

    pub(crate) fn warn(&self, run_id: Option<RunId>, message: impl Into<String>) {
        let message = message.into();
        tracing::warn!(run.id = run_id.map(tracing::field::display), "{message}");
        self.tell(EngineEvent::Warning { run_id, message });
    }

    /// Makes the timer task look again if this instant is earlier than what it waits for.
    pub(crate) fn timer_at(&self, due: Timestamp) {
        let mut next = locked(&self.next_timer);
        if next.is_none_or(|known| due < known) {
            *next = Some(due);
            self.timer_changed.notify_one();
        }
    }

    pub(crate) fn queues(&self) -> Vec<String> {
        locked(&self.served).iter().cloned().collect()
    }

    pub(crate) fn disown(&self, attempt: AttemptId) {
        locked(&self.owned).remove(&attempt);
        self.released.notify_waiters();
    }

    /// The lease is surely ours.
    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted_until().is_none_or(|until| Instant::now() < until)
    }

    /// End of the trust in the lease; `None` where it has no end.
    pub(crate) fn trusted_until(&self) -> Option<Instant> {
        *locked(&self.trusted_until)
    }

    /// The lease was renewed by what was sent at this instant.
    pub(crate) fn trust_from(&self, sent: Instant) {
        *locked(&self.trusted_until) = self.config.trust.map(|trust| sent + trust);
        self.trust_renewed.notify_waiters();
    }

    /// Until the next heartbeat nothing is sure.
    pub(crate) fn distrust(&self) {
        if let Some(until) = &mut *locked(&self.trusted_until) {
            *until = Instant::now();
        }
    }

    /// Whether a task of this type may be executed a second time beside the first.
    pub(crate) fn is_repeatable(&self, task_type: &str) -> bool {
        match self.config.registry.task(task_type).map(|known| known.effects) {
            Some(Effects::Idempotent | Effects::ExactlyOnce) => true,
            // What is not known is taken for the worst.
            Some(Effects::AtLeastOnce) | None => false,
        }
    }

    /// Tells who waits for a run that it is over, and forgets it.
    pub(crate) fn run_ended(&self, run_id: RunId, end: RunEnd) {
        if let Some(sender) = locked(&self.runs).remove(&run_id) {
            sender.send_replace(Some(end));
        }
    }
}
