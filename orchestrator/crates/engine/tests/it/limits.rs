//! The limits of runs and of task runs while daemons are killed at random: never exceeded, and nothing stays undone.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Notify;
use updraft_engine::scheduler::{Scheduler, SchedulerConfig};
use updraft_engine::{Clock, Engine, EngineConfig, EngineError, NewRun, RetryRequest, SystemClock};
use updraft_model::graph::Compiled;
use updraft_model::id::RunId;
use updraft_model::input::RetryWhat;
use updraft_model::state::RunState;
use updraft_model::workflow::Workflow;
use updraft_store::read::RunFilter;
use updraft_store::scheduling::ScheduledVersion;
use updraft_store::{NewVersion, Published, Reader, Scheduling, StoreError};
use updraft_store_postgres::PgStore;
use updraft_store_sqlite::{OpenOptions, SqliteStore};

use crate::liveness::quick;
use crate::support::{Place, config, now, with_keys};

const RUNS: usize = 2;
const TASKS: usize = 2;
const OPEN: [RunState; 3] = [RunState::Queued, RunState::Running, RunState::Cancelling];

/// A store as one process sees it.
#[derive(Clone)]
struct Kit {
    place: Place,
    scheduling: Arc<dyn Scheduling>,
}

impl Kit {
    fn of<S: updraft_store::Store + updraft_store::Logs + Scheduling>(store: Arc<S>, reader: Arc<dyn Reader>) -> Self {
        Self { place: Place { store: store.clone(), reader, logs: store.clone() }, scheduling: store }
    }
}

struct Daemon {
    engine: Engine,
    _scheduler: Scheduler,
}

impl Daemon {
    async fn start(kit: &Kit, folder: &Path) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let kind = kit.place.store.kind();
        let scheduling = Arc::clone(&kit.scheduling);
        let scheduler = SchedulerConfig {
            sweep: Duration::from_millis(200),
            ..SchedulerConfig::new(Arc::clone(&scheduling), clock, kind)
        };
        let scheduler = Scheduler::start(scheduler);
        let config = EngineConfig {
            queues: vec![SchedulerConfig::QUEUE.to_owned()],
            slots: 4,
            watch: Some(quick()),
            ..config(&kit.place, folder)
        };
        let engine = Engine::start(config.with_scheduler(scheduling, Some(scheduler.handle()))).await.unwrap();
        Self { engine, _scheduler: scheduler }
    }

    /// A new run. On a busy machine a daemon may be taken for dead for a moment, and says so.
    async fn trigger(&self, version: Published, compiled: &Arc<Compiled>) -> RunId {
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let new = NewRun::manual(version, Arc::clone(compiled), now(), "test");
            match self.engine.trigger(new).await {
                Ok(triggered) => return triggered.run_id,
                Err(EngineError::Store(StoreError::Conflict(_))) if Instant::now() < patience => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("no new run: {error}"),
            }
        }
    }

    /// What it does is cut off wherever it is.
    async fn kill(self) {
        self.engine.abort().await;
        self.engine.shutdown().await;
    }
}

/// Its tasks wait until `<folder>/go` is there.
fn limited(folder: &Path) -> Workflow {
    let with = json!({ "act": "note", "argv": [folder] });
    let mut tasks: Vec<Value> = (0..5).map(|n| json!({ "id": format!("t{n}"), "type": "act", "with": with })).collect();
    tasks.push(json!({ "id": "last", "type": "act", "with": { "act": "again" }, "depends_on": ["t0", "t1", "t2"] }));
    let workflow = with_keys(json!({ "max_active_tasks": TASKS, "tasks": tasks }));
    Workflow { max_active_runs: u32::try_from(RUNS).unwrap(), ..workflow }
}

async fn publish(kit: &Kit, workflow: &Workflow) -> Published {
    let compiled = serde_json::to_string(workflow).unwrap();
    let version = NewVersion {
        workflow: workflow.id.clone(),
        sha256: updraft_model::canonical::sha256_hex(compiled.as_bytes()),
        source: compiled.clone(),
        path: "test.yaml".to_owned(),
        compiled,
    };
    let version = ScheduledVersion { version, workflow: workflow.clone(), source: "here".to_owned() };
    kit.scheduling.publish_all(&[version], now()).await.unwrap()[0]
}

async fn in_states(reader: &dyn Reader, states: &[RunState]) -> Vec<RunId> {
    let filter = RunFilter { workflow: None, states: states.to_vec(), before: None, limit: 500 };
    reader.runs(&filter).await.unwrap().into_iter().map(|run| run.row.facts.run_id).collect()
}

/// Looks as often as it can, and says once both limits were found used up.
async fn watch(reader: Arc<dyn Reader>, full: Arc<Notify>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Acquire) {
        let running = in_states(&*reader, &[RunState::Running, RunState::Cancelling]).await;
        assert!(running.len() <= RUNS, "{} runs at a time", running.len());
        let mut used_up = running.len() == RUNS;
        for run in running {
            let dispatched = reader.detail(run).await.unwrap().unwrap().work.len();
            assert!(dispatched <= TASKS, "{dispatched} task runs of run {run} at a time");
            used_up &= dispatched == TASKS;
        }
        if used_up {
            full.notify_one();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The same choices from the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// Two daemons, each killed again and again, while runs are made, retried and cancelled.
async fn killed_at_random(kits: [Kit; 2], seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let workflow = limited(folder.path());
    let version = publish(&kits[0], &workflow).await;
    let compiled = Arc::new(Compiled::new(workflow).unwrap());
    let reader = Arc::clone(&kits[0].place.reader);
    let stop = Arc::new(AtomicBool::new(false));
    let full = Arc::new(Notify::new());
    let watched = tokio::spawn(watch(Arc::clone(&reader), Arc::clone(&full), Arc::clone(&stop)));
    let mut daemons = [Daemon::start(&kits[0], folder.path()).await, Daemon::start(&kits[1], folder.path()).await];
    let mut dice = Dice(seed);
    let mut made: Vec<RunId> = Vec::new();
    // Nothing ends before the limits are reached, however fast or slow the machine is.
    for at in [0, 1, 0, 1] {
        made.push(daemons[at].trigger(version, &compiled).await);
    }
    tokio::time::timeout(Duration::from_mins(1), full.notified()).await.expect("the limits are reached within 60 s");
    std::fs::write(folder.path().join("go"), "").unwrap();
    for _ in 0..60 {
        let at = dice.below(2);
        match dice.below(10) {
            0..=4 => {
                made.push(daemons[at].trigger(version, &compiled).await);
            }
            5 | 6 if !made.is_empty() => {
                let again = RetryRequest {
                    what: RetryWhat::Failed,
                    tasks: Vec::new(),
                    downstream: false,
                    newest: None,
                    queue: None,
                    by: "test".to_owned(),
                    reason: String::new(),
                };
                // What is not over, or did not fail, says so.
                let _ = daemons[at].engine.retry(made[dice.below(made.len())], again).await;
            }
            7 if !made.is_empty() => {
                let _ = daemons[at].engine.cancel(made[dice.below(made.len())], "test", "enough").await;
            }
            _ => {
                let fresh = Daemon::start(&kits[at], folder.path()).await;
                std::mem::replace(&mut daemons[at], fresh).kill().await;
            }
        }
        tokio::time::sleep(Duration::from_millis(u64::try_from(dice.below(25)).unwrap())).await;
    }
    let over = async {
        while !in_states(&*reader, &OPEN).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), over).await.expect("every run ends within 90 s");
    stop.store(true, Ordering::Release);
    watched.await.expect("no limit was exceeded");
    for daemon in daemons {
        daemon.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_while_daemons_are_killed_on_sqlite() {
    for seed in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("updraft.db"), OpenOptions::default()).await.unwrap();
        let store = Arc::new(store);
        let kit = Kit::of(Arc::clone(&store), Arc::new(store.reader()));
        killed_at_random([kit.clone(), kit], seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_while_daemons_are_killed_on_postgres() {
    let Some((place, database)) = crate::support::postgres().await else { return };
    place.store.close().await;
    let mut kits = Vec::new();
    for _ in 0..2 {
        let store = Arc::new(PgStore::open(database.url()).await.unwrap());
        kits.push(Kit::of(Arc::clone(&store), store));
    }
    killed_at_random(kits.try_into().unwrap_or_else(|_| unreachable!("two were made")), 3).await;
}
