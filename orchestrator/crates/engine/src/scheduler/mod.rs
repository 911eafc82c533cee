//! Makes runs of schedules when they are due, and starts queued runs when there is room.
//!
//! ```text
//!  publication, pause ──notify──▶ ┌─────────┐ ──▶ fire: due schedules → the model's plan → runs, in one commit per hundred
//!  its own next instant ────────▶ │ service │
//!  a run ended (engine) ────────▶ └─────────┘ ──▶ start_runs: one workflow's queued runs, while there is room
//!  every few seconds ───────────▶      the sweep behind the signals
//! ```
//! Any number of schedulers may share a store: the rows of due schedules are locked, and a scheduled run's key is its fire.
//! Nothing here decides about a schedule; `updraft_model::schedule::plan` does.

mod create;
mod decide;
mod service;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use updraft_model::id::WorkflowId;
use updraft_model::run::Limits;
use updraft_model::schedule::fires::TZDB;
use updraft_model::time::Timestamp;
use updraft_store::Scheduling;

use crate::config::{Clock, EngineConfig, host_name};
use crate::shared::locked;

pub(crate) use create::{Claimer, Made, make};
pub use create::{Triggered, create_run};
pub(crate) use decide::{Versions, fire_fn};

/// What a scheduler is started with. Make it with [`SchedulerConfig::new`], then change what differs.
#[derive(Clone)]
pub struct SchedulerConfig {
    /// Where schedules live.
    pub scheduling: Arc<dyn Scheduling>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who makes the runs: `scheduler:host/pid`.
    pub name: String,
    /// Where tasks of scheduled runs are claimed from.
    pub queue: String,
    /// Fire schedules; without it queued runs are started alone.
    pub fires: bool,
    /// How often to look for what no hint told of; `None` where nobody else writes.
    pub poll: Option<Duration>,
    /// Time between sweeps over queued runs.
    pub sweep: Duration,
    /// First and longest wait while the store is unavailable.
    pub backoff: (Duration, Duration),
    /// Most task runs dispatched per run.
    pub limits: Limits,
    /// The store's clock says what is due, where it has one of its own: another host's scheduler, or a person who set this
    /// host's clock, fires nothing early or late.
    pub store_clock: bool,
    /// Release of the zone database that fires are computed by.
    pub tzdb: &'static str,
}

impl SchedulerConfig {
    /// Defaults for a store of this kind (`sqlite`, `postgres`, `memory`).
    pub fn new(scheduling: Arc<dyn Scheduling>, clock: Arc<dyn Clock>, store_kind: &str) -> Self {
        let shared = store_kind == "postgres";
        Self {
            scheduling,
            clock,
            name: format!("scheduler:{}/{}", host_name(), std::process::id()),
            queue: Self::QUEUE.to_owned(),
            fires: true,
            poll: shared.then_some(Duration::from_secs(1)),
            sweep: Duration::from_secs(if shared { 2 } else { 5 }),
            backoff: (Duration::from_millis(100), Duration::from_secs(5)),
            limits: Limits::default(),
            store_clock: false,
            tzdb: TZDB,
        }
    }

    /// The queue that every worker serves unless it is told otherwise.
    pub const QUEUE: &str = "default";
}

/// How a scheduler is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchedulerHealth {
    /// When it last looked at the store with success.
    pub looked_at: Option<Timestamp>,
    /// What it is failing with.
    pub error: Option<String>,
    /// Runs that it made since its start.
    pub created: u64,
    /// Fires that it recorded as skipped since its start.
    pub skipped: u64,
}

/// A running scheduler.
pub struct Scheduler {
    handle: SchedulerHandle,
    service: Mutex<Option<JoinHandle<()>>>,
}

/// Tells a scheduler that there is something to look at. Cheap to clone.
#[derive(Clone)]
pub struct SchedulerHandle(Arc<Signals>);

pub(crate) struct Signals {
    changed: Notify,
    ended: mpsc::UnboundedSender<WorkflowId>,
    stop: Notify,
    health: Mutex<SchedulerHealth>,
}

impl SchedulerHandle {
    /// Schedules may have changed: a publication, a pause, its end.
    pub fn notify(&self) {
        self.0.changed.notify_one();
    }

    /// A run of this workflow has ended, or a new one waits: queued runs may start.
    pub fn run_ended(&self, workflow: WorkflowId) {
        // Its service ends with the scheduler only.
        let _ = self.0.ended.send(workflow);
    }

    /// How it is doing.
    pub fn health(&self) -> SchedulerHealth {
        locked(&self.0.health).clone()
    }
}

impl Scheduler {
    /// Starts serving.
    pub fn start(config: SchedulerConfig) -> Self {
        let (ended, inbox) = mpsc::unbounded_channel();
        let signals =
            Arc::new(Signals { changed: Notify::new(), ended, stop: Notify::new(), health: Mutex::default() });
        let service = service::Service::new(config, Arc::clone(&signals), inbox);
        let service = tokio::spawn(service.run());
        Self { handle: SchedulerHandle(signals), service: Mutex::new(Some(service)) }
    }

    /// For whoever has something to tell it: set it as [`EngineConfig::scheduler`].
    pub fn handle(&self) -> SchedulerHandle {
        self.handle.clone()
    }

    /// Schedules may have changed.
    pub fn notify(&self) {
        self.handle.notify();
    }

    /// How it is doing.
    pub fn health(&self) -> SchedulerHealth {
        self.handle.health()
    }

    /// Ends it after what it is doing.
    pub async fn shutdown(&self) {
        self.handle.0.stop.notify_one();
        let service = locked(&self.service).take();
        if let Some(service) = service {
            // A panic inside was told when it happened.
            let _ = service.await;
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        if let Some(service) = locked(&self.service).take() {
            service.abort();
        }
    }
}

impl EngineConfig {
    /// Makes this engine admit its triggers under their workflows' limits, and tell the scheduler when runs end.
    #[must_use]
    pub fn with_scheduler(mut self, scheduling: Arc<dyn Scheduling>, scheduler: Option<SchedulerHandle>) -> Self {
        self.scheduling = Some(scheduling);
        self.scheduler = scheduler;
        self
    }
}
