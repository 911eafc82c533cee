//! Schedules, triggers and the limit of running runs, with real engines on every store.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::broadcast;
use updraft_engine::bench_schedules::{ScheduleBenchOptions, run_schedules};
use updraft_engine::scheduler::{Scheduler, SchedulerConfig, create_run};
use updraft_engine::{Clock, Engine, EngineConfig, EngineEvent, NewRun, Operation, RetryRequest, SystemClock};
use updraft_model::graph::Compiled;
use updraft_model::id::RunId;
use updraft_model::input::RetryWhat;
use updraft_model::run::Limits;
use updraft_model::schedule::plan::SkipReason;
use updraft_model::state::{RunState, Trigger};
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;
use updraft_store::memory::MemoryStore;
use updraft_store::read::RunFilter;
use updraft_store::scheduling::ScheduledVersion;
use updraft_store::{NewVersion, Published, Purpose, Reader, Scheduling};
use updraft_store_postgres::PgStore;
use updraft_store_sqlite::{OpenOptions, SqliteStore};

use crate::support::{Place, config, now, until, with_keys};

/// A clock that stands until it is set.
struct Hands(AtomicI64);

impl Hands {
    fn at(text: &str) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(t(text).as_millis())))
    }

    fn set(&self, text: &str) {
        self.0.store(t(text).as_millis(), Ordering::Release);
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Acquire))
    }
}

fn t(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A store by all its sides.
struct Stored {
    place: Place,
    scheduling: Arc<dyn Scheduling>,
}

fn in_memory() -> Stored {
    let store = MemoryStore::new(now);
    let place =
        Place { store: Arc::new(store.clone()), reader: Arc::new(store.clone()), logs: Arc::new(store.clone()) };
    Stored { place, scheduling: Arc::new(store) }
}

async fn on_sqlite(folder: &Path) -> Stored {
    let store = Arc::new(SqliteStore::open(folder.join("updraft.db"), OpenOptions::default()).await.unwrap());
    let reader: Arc<dyn Reader> = Arc::new(store.reader());
    Stored { place: Place { store: Arc::clone(&store) as _, reader, logs: Arc::clone(&store) as _ }, scheduling: store }
}

async fn on_postgres(url: &str) -> Stored {
    let store = PgStore::open(url).await.unwrap();
    let place =
        Place { store: Arc::new(store.clone()), reader: Arc::new(store.clone()), logs: Arc::new(store.clone()) };
    Stored { place, scheduling: Arc::new(store) }
}

fn version_of(workflow: &Workflow) -> ScheduledVersion {
    let compiled = serde_json::to_string(workflow).unwrap();
    let version = NewVersion {
        workflow: workflow.id.clone(),
        sha256: updraft_model::canonical::sha256_hex(compiled.as_bytes()),
        source: compiled.clone(),
        path: "test.yaml".to_owned(),
        compiled,
    };
    ScheduledVersion { version, workflow: workflow.clone(), source: "here".to_owned() }
}

/// A daemon: a scheduler and a worker on one store.
struct Daemon {
    stored: Stored,
    scheduler: Scheduler,
    engine: Engine,
    events: broadcast::Receiver<EngineEvent>,
    clock: Arc<Hands>,
    _folder: tempfile::TempDir,
}

impl Daemon {
    async fn start(stored: Stored, clock: Arc<Hands>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let given: Arc<dyn Clock> = clock.clone();
        let kind = stored.place.store.kind();
        let scheduler =
            Scheduler::start(SchedulerConfig::new(Arc::clone(&stored.scheduling), Arc::clone(&given), kind));
        let engine = EngineConfig {
            clock: given,
            queues: vec![SchedulerConfig::QUEUE.to_owned()],
            ..config(&stored.place, folder.path())
        };
        let engine = engine.with_scheduler(Arc::clone(&stored.scheduling), Some(scheduler.handle()));
        let engine = Engine::start(engine).await.unwrap();
        let events = engine.subscribe();
        Self { stored, scheduler, engine, events, clock, _folder: folder }
    }

    async fn publish(&self, workflow: &Workflow) -> Published {
        let published = self.stored.scheduling.publish_all(&[version_of(workflow)], self.clock.now()).await.unwrap();
        self.scheduler.notify();
        published[0]
    }

    fn set(&self, at: &str) {
        self.clock.set(at);
        self.scheduler.notify();
    }

    async fn trigger(&self, version: Published, workflow: &Workflow) -> updraft_engine::scheduler::Triggered {
        let compiled = Arc::new(Compiled::new(workflow.clone()).unwrap());
        let new = NewRun::manual(version, compiled, self.clock.now(), "test");
        self.engine.trigger(new).await.unwrap()
    }

    async fn run_ends(&mut self) -> RunId {
        match until(&mut self.events, |event| matches!(event, EngineEvent::RunFinished { .. })).await {
            EngineEvent::RunFinished { run_id, .. } => run_id,
            other => panic!("{other:?}"),
        }
    }

    async fn runs(&self) -> Vec<updraft_store::read::RunView> {
        let filter = RunFilter { workflow: None, states: Vec::new(), before: None, limit: 500 };
        self.stored.place.reader.runs(&filter).await.unwrap()
    }

    async fn count(&self, state: RunState) -> usize {
        self.runs().await.iter().filter(|run| run.row.projection.state == state).count()
    }

    async fn stop(self) {
        self.scheduler.shutdown().await;
        self.engine.shutdown().await;
        self.stored.place.store.close().await;
    }
}

fn hourly(keys: Value) -> Workflow {
    let mut all = json!({
        "schedule": { "cron": { "patterns": ["0 * * * *"], "timezone": "UTC" } },
        "tasks": [{ "id": "a", "type": "act" }],
    });
    for (key, value) in keys.as_object().unwrap() {
        all[key] = value.clone();
    }
    with_keys(all)
}

async fn a_day(stored: Stored) {
    let mut daemon = Daemon::start(stored, Hands::at("2026-01-01T00:30:00Z")).await;
    daemon.publish(&hourly(json!({ "params": { "day": { "type": "string", "default": "x" } } }))).await;
    for hour in 1..=3 {
        daemon.set(&format!("2026-01-01T0{hour}:00:00.010Z"));
        let run = daemon.run_ends().await;
        let detail = crate::support::detail(&daemon.stored.place, run).await;
        let facts = &detail.run.row.facts;
        assert_eq!(
            (facts.trigger, facts.run_key.as_str()),
            (Trigger::Schedule, &*format!("2026-01-01T0{hour}:00:00Z"))
        );
        assert_eq!(facts.logical_at, t(&format!("2026-01-01T0{}:00:00Z", hour - 1)));
        assert_eq!(facts.conf, r#"{"day":"x"}"#);
        assert_eq!(detail.run.row.projection.state, RunState::Succeeded);
    }
    daemon.stored.scheduling.set_paused("w", true, "test", None, daemon.clock.now()).await.unwrap();
    daemon.set("2026-01-01T09:30:00Z");
    daemon.stored.scheduling.set_paused("w", false, "test", None, daemon.clock.now()).await.unwrap();
    daemon.scheduler.notify();
    let run = daemon.run_ends().await;
    let detail = crate::support::detail(&daemon.stored.place, run).await;
    assert_eq!(detail.run.row.facts.run_key, "2026-01-01T09:00:00Z", "the latest");
    let skipped = daemon.stored.scheduling.skipped_fires(Some("w"), None, 10).await.unwrap();
    assert_eq!((skipped.len(), skipped[0].skipped.count, skipped[0].skipped.reason), (1, 5, SkipReason::Catchup));
    assert_eq!(daemon.runs().await.len(), 4);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_workflow_runs_when_it_is_due_in_memory() {
    a_day(in_memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_workflow_runs_when_it_is_due_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    a_day(on_sqlite(folder.path()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_workflow_runs_when_it_is_due_on_postgres() {
    let Some((place, database)) = crate::support::postgres().await else { return };
    place.store.close().await;
    a_day(on_postgres(database.url()).await).await;
}

async fn one_commit(stored: Stored) {
    let mut daemon = Daemon::start(stored, Hands::at("2026-01-01T00:30:00Z")).await;
    let workflow = with_keys(json!({ "tasks": [{ "id": "a", "type": "act", "with": { "act": "hang" } }] }));
    let version = daemon.publish(&workflow).await;
    let commits = daemon.engine.counters().commits(Purpose::Engine);
    let triggered = daemon.trigger(version, &workflow).await;
    assert!(triggered.started);
    until(&mut daemon.events, crate::support::attempt_started("a")).await;
    assert_eq!(daemon.engine.counters().commits(Purpose::Engine), commits + 1, "from trigger to the first body");
    daemon.engine.cancel(triggered.run_id, "test", "enough").await.unwrap();
    assert_eq!(daemon.run_ends().await, triggered.run_id);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_is_one_commit_from_request_to_first_body_in_memory() {
    one_commit(in_memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_is_one_commit_from_request_to_first_body_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    one_commit(on_sqlite(folder.path()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_is_one_commit_from_request_to_first_body_on_postgres() {
    let Some((place, database)) = crate::support::postgres().await else { return };
    place.store.close().await;
    one_commit(on_postgres(database.url()).await).await;
}

async fn limited(stored: Stored) {
    let mut daemon = Daemon::start(stored, Hands::at("2026-01-01T00:30:00Z")).await;
    let mut workflow = with_keys(json!({ "tasks": [{ "id": "a", "type": "act", "with": { "act": "hang" } }] }));
    workflow.max_active_runs = 2;
    let version = daemon.publish(&workflow).await;
    let mut runs = Vec::new();
    for n in 0..6 {
        let triggered = daemon.trigger(version, &workflow).await;
        assert_eq!(triggered.started, n < 2, "{n}");
        runs.push(triggered.run_id);
    }
    // One more from a process without a worker.
    let compiled = Arc::new(Compiled::new(workflow.clone()).unwrap());
    let new = NewRun::manual(version, compiled, daemon.clock.now(), "api");
    let other = create_run(&*daemon.stored.scheduling, new, Limits::default(), daemon.clock.now()).await.unwrap();
    assert!(!other.started);
    runs.push(other.run_id);
    until(&mut daemon.events, crate::support::attempt_started("a")).await;
    for (n, run) in runs.iter().enumerate() {
        assert!(daemon.count(RunState::Running).await <= 2);
        daemon.engine.cancel(*run, "test", "next").await.unwrap();
        daemon.run_ends().await;
        if let Some(next) = runs.get(n + 2) {
            let started =
                |event: &EngineEvent| matches!(event, EngineEvent::AttemptStarted { run_id, .. } if run_id == next);
            until(&mut daemon.events, started).await;
        }
    }
    assert_eq!(daemon.count(RunState::Cancelled).await, 7);
    re_opened_within_the_limit(&mut daemon, &runs).await;
    daemon.stop().await;
}

/// Runs that go on after their end take their turn as new ones do.
async fn re_opened_within_the_limit(daemon: &mut Daemon, runs: &[RunId]) {
    let again = RetryRequest {
        what: RetryWhat::Failed,
        tasks: Vec::new(),
        downstream: false,
        newest: None,
        queue: None,
        by: "test".to_owned(),
        reason: String::new(),
    };
    for (n, run) in runs[..4].iter().enumerate() {
        let expected = if n < 2 { RunState::Running } else { RunState::Queued };
        let seen = daemon.engine.preview(*run, &Operation::Retry(again.clone())).await.unwrap();
        assert_eq!((seen.text.as_str(), seen.state), ("Re-run 1 task", expected), "{n}");
        daemon.engine.retry(*run, again.clone()).await.unwrap();
        let view = daemon.stored.place.reader.run(*run).await.unwrap().unwrap();
        let projection = view.row.projection;
        assert_eq!((projection.state, projection.generation, projection.ended_at), (expected, 1, None), "{n}");
    }
    for (n, run) in runs[..4].iter().enumerate() {
        let starts = |event: &EngineEvent| matches!(event, EngineEvent::AttemptStarted { run_id, .. } if Some(run_id) == runs[..4].get(n + 2));
        assert!(daemon.count(RunState::Running).await <= 2);
        daemon.engine.cancel(*run, "test", "next").await.unwrap();
        if n + 2 < 4 {
            until(&mut daemon.events, starts).await;
        }
    }
    while daemon.count(RunState::Cancelled).await < 7 {
        daemon.run_ends().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_beyond_the_limit_wait_and_start_in_order_in_memory() {
    limited(in_memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_beyond_the_limit_wait_and_start_in_order_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    limited(on_sqlite(folder.path()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_beyond_the_limit_wait_and_start_in_order_on_postgres() {
    let Some((place, database)) = crate::support::postgres().await else { return };
    place.store.close().await;
    limited(on_postgres(database.url()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_continuous_workflow_begins_again_when_its_run_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(on_sqlite(folder.path()).await, Hands::at("2026-01-01T00:00:00Z")).await;
    daemon.publish(&hourly(json!({ "schedule": "continuous" }))).await;
    for second in 0..4 {
        daemon.run_ends().await;
        daemon.set(&format!("2026-01-01T00:00:0{}Z", second + 1));
    }
    let keys: Vec<String> = daemon.runs().await.iter().rev().map(|run| run.row.facts.run_key.clone()).collect();
    assert_eq!(&keys[..3], ["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catch_up_is_made_up_for_within_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(on_sqlite(folder.path()).await, Hands::at("2026-01-01T00:30:00Z")).await;
    daemon.publish(&Workflow { max_active_runs: 3, ..hourly(json!({ "catchup": "all" })) }).await;
    daemon.set("2026-01-02T00:30:00Z");
    for _ in 0..24 {
        daemon.run_ends().await;
    }
    let runs = daemon.runs().await;
    assert_eq!(runs.len(), 24);
    let mut keys: Vec<&str> = runs.iter().map(|run| run.row.facts.run_key.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 24);
    assert!(runs.iter().all(|run| run.row.facts.priority < 0), "they let live ones pass");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_whose_runs_cannot_be_made_is_put_aside_and_the_others_fire() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(on_sqlite(folder.path()).await, Hands::at("2026-01-01T00:30:00Z")).await;
    let bad = Workflow { id: "bad".to_owned(), ..hourly(json!({ "params": { "day": { "type": "string" } } })) };
    daemon.publish(&bad).await;
    daemon.publish(&hourly(json!({}))).await;
    daemon.set("2026-01-01T01:00:00Z");
    daemon.run_ends().await;
    let row = daemon.stored.scheduling.schedule("bad").await.unwrap().unwrap().schedule.unwrap();
    assert!(row.error.as_deref().is_some_and(|error| error.contains("`day`")), "{row:?}");
    daemon.stop().await;
}

/// Where the children of the test below find their database.
const CHILD_URL: &str = "UPDRAFT_TEST_SCHEDULER_URL";

/// Not a test of its own: the process that is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_of_the_kill_test() {
    #[expect(clippy::disallowed_methods, reason = "the parent test tells its child where the store is")]
    let Ok(url) = std::env::var(CHILD_URL) else { return };
    let stored = on_postgres(&url).await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let _scheduler = Scheduler::start(SchedulerConfig::new(stored.scheduling, clock, "postgres"));
    tokio::time::sleep(Duration::from_mins(2)).await;
}

fn child(url: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "schedules::child_of_the_kill_test"])
        .env(CHILD_URL, url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Runs by workflow.
async fn runs_of(stored: &Stored, wanted: usize) -> HashMap<String, usize> {
    let mut found = HashMap::new();
    let mut before = None;
    loop {
        let filter = RunFilter { workflow: None, states: Vec::new(), before, limit: 500 };
        let page = stored.place.reader.runs(&filter).await.unwrap();
        for run in &page {
            *found.entry(run.workflow.clone()).or_insert(0) += 1;
        }
        before = page.last().map(|run| run.row.facts.run_id);
        if page.len() < 500 || found.len() > wanted {
            return found;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schedulers_on_one_store_make_one_run_of_each_fire_also_when_one_is_killed_in_the_middle() {
    const SCHEDULES: usize = 600;
    let Some((place, database)) = crate::support::postgres().await else { return };
    place.store.close().await;
    let url = database.url();
    let stored = on_postgres(url).await;
    let mut children = [child(url), child(url)];
    let due = now() + Duration::from_secs(4);
    let versions: Vec<ScheduledVersion> = (0..SCHEDULES)
        .map(|n| {
            let workflow = hourly(json!({ "schedule": { "dates": [due, due + Duration::from_secs(2)] } }));
            version_of(&Workflow { id: format!("w{n}"), ..workflow })
        })
        .collect();
    stored.scheduling.publish_all(&versions, now()).await.unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let scheduler = Scheduler::start(SchedulerConfig::new(Arc::clone(&stored.scheduling), clock, "postgres"));
    // Killed as soon as anything was made: most is still to do.
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    loop {
        let found = runs_of(&stored, SCHEDULES).await;
        if !found.is_empty() {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "nothing is made");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    children[0].kill().unwrap();
    children[0].wait().unwrap();
    loop {
        let found = runs_of(&stored, SCHEDULES).await;
        let made: usize = found.values().sum();
        if made >= 2 * SCHEDULES {
            assert!(found.len() == SCHEDULES && found.values().all(|runs| *runs == 2), "{found:?}");
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{made} runs");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    children[1].kill().unwrap();
    children[1].wait().unwrap();
    let totals = stored.scheduling.schedule_totals(now()).await.unwrap();
    assert_eq!((totals.due, totals.skipped, totals.errors), (0, 0, 0));
    scheduler.shutdown().await;
    stored.place.store.close().await;
}

async fn benched(stored: Vec<Stored>) -> updraft_engine::bench_schedules::ScheduleBench {
    let options = ScheduleBenchOptions {
        schedules: 2_000,
        due: 250,
        schedulers: stored.len(),
        store: Arc::clone(&stored[0].place.store),
        scheduling: stored.iter().map(|stored| Arc::clone(&stored.scheduling)).collect(),
    };
    let bench = run_schedules(options).await.unwrap();
    eprintln!("{}", serde_json::to_string(&bench).unwrap());
    assert_eq!(bench.created, 250, "each fire once");
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bench_of_schedules_counts_what_it_made_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let bench = benched(vec![on_sqlite(folder.path()).await]).await;
    assert_eq!(bench.commits, 3, "a hundred a commit");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bench_of_schedules_counts_what_two_schedulers_made_on_postgres() {
    let Some((place, database)) = crate::support::postgres().await else { return };
    place.store.close().await;
    benched(vec![on_postgres(database.url()).await, on_postgres(database.url()).await]).await;
}

/// This host's clock is ten minutes fast: nothing fires early, and what is due fires.
#[tokio::test]
async fn the_stores_clock_decides_what_is_due() {
    let (here, there) = (Hands::at("2026-01-01T01:05:00Z"), Hands::at("2026-01-01T00:55:00Z"));
    let clock = Arc::clone(&there);
    let store = Arc::new(MemoryStore::new(move || clock.now()));
    store.publish_all(&[version_of(&hourly(json!({})))], there.now()).await.unwrap();
    let config = SchedulerConfig::new(Arc::clone(&store) as _, Arc::clone(&here) as _, "memory");
    let scheduler = Scheduler::start(SchedulerConfig { store_clock: true, ..config });
    scheduler.notify();
    while scheduler.health().looked_at.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(store.next_fire().await.unwrap(), Some(t("2026-01-01T01:00:00Z")), "it fired early");
    assert_eq!(scheduler.health().created, 0);
    there.set("2026-01-01T01:00:00.5Z");
    here.set("2026-01-01T01:10:00.5Z");
    scheduler.notify();
    while scheduler.health().created == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(store.next_fire().await.unwrap(), Some(t("2026-01-01T02:00:00Z")));
    scheduler.shutdown().await;
}
