//! An engine on a store of each kind, with task types that tests steer.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::broadcast;
use updraft_engine::{Engine, EngineConfig, EngineEvent, NewRun, NoConnections, RunEnd, RunHandle};
use updraft_model::graph::Compiled;
use updraft_model::id::{RunId, TaskKey};
use updraft_model::state::{FinalState, Outcome, RunState};
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;
use updraft_store::logs::LogLine;
use updraft_store::memory::MemoryStore;
use updraft_store::read::RunDetail;
use updraft_store::{Logs, NewVersion, Published, Reader, Store};
use updraft_store_postgres::PgStore;
use updraft_store_sqlite::{OpenOptions, SqliteStore};
use updraft_task::{
    ChildSpec, ConnectionNeed, Context, Effects, ErrorClass, Level, Registry, Sibling, Task, TaskError,
};

/// The complete lines in the file of a task's first attempt, so far.
pub fn file_lines(log_dir: &Path, run: RunId, task: &str) -> Vec<LogLine> {
    let path = updraft_engine::logs::path(log_dir, run, &TaskKey::of(task), 1);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete.lines().map(|line| LogLine::parse(line, 0, 0)).collect()
}

pub fn now() -> Timestamp {
    Timestamp::from_datetime(chrono::Utc::now())
}

/// Does what its parameters say; keeps a ledger of which bodies ran.
pub struct Act;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// `ok` (default), `fail`, `retry`, `skip`, `panic`, `hang`, `stubborn`, `large`, `nul`, `child`, `flaky`, `again`, `siblings`, `keep`, `keeps`.
    #[serde(default)]
    act: String,
    /// Goes into the output.
    #[serde(default)]
    say: Value,
    /// For `child`.
    #[serde(default)]
    argv: Vec<String>,
}

static LEDGER: Mutex<Vec<(RunId, String, u32)>> = Mutex::new(Vec::new());

/// Attempts (`dispatch_no`) of a task whose body began.
pub fn bodies(run: RunId, task: &str) -> Vec<u32> {
    let ledger = LEDGER.lock().unwrap_or_else(PoisonError::into_inner);
    ledger.iter().filter(|(id, name, _)| *id == run && name == task).map(|(_, _, no)| *no).collect()
}

impl Task for Act {
    const TYPE: &'static str = "act";
    const SUMMARY: &'static str = "Does what it is told";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = ConnectionNeed::None;
    const ERRORS: &'static [ErrorClass] = &[];
    const EXAMPLE: &'static str = "";
    type Params = Params;
    type Output = Value;

    async fn run(params: Params, ctx: &Context) -> Result<Value, TaskError> {
        LEDGER.lock().unwrap_or_else(PoisonError::into_inner).push((
            ctx.run().run_id,
            ctx.attempt().key.task.to_string(),
            ctx.attempt().dispatch_no,
        ));
        match params.act.as_str() {
            "" | "ok" => Ok(json!({ "said": params.say })),
            "log" => {
                for line in params.say.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    ctx.info(line);
                }
                ctx.cancelled().cancelled().await;
                Ok(Value::Null)
            }
            "fail" => Err(TaskError::fail("Broken", "it is broken")),
            "retry" => Err(TaskError::retry("Flaky", "not this time")),
            "again" if ctx.attempt().generation == 0 => Err(TaskError::fail("Broken", "not in the first generation")),
            "again" => Ok(json!({ "generation": ctx.attempt().generation })),
            "flaky" if ctx.attempt().try_no == 1 => Err(TaskError::retry("Flaky", "not this time")),
            "flaky" => Ok(json!({ "try": ctx.attempt().try_no })),
            "skip" => Err(TaskError::skip("nothing to do")),
            "panic" => panic!("out of order"),
            "hang" => {
                ctx.cancelled().cancelled().await;
                Err(TaskError::cancelled())
            }
            "stubborn" => std::future::pending().await,
            "large" => Ok(Value::from("x".repeat(50_000))),
            "nul" => Ok(Value::from("a\0b")),
            // Says which process runs it, and waits until it may end.
            "note" => note(&params.argv[0], ctx).await,
            "keeps" => {
                let state = ctx.state();
                Ok(json!([
                    state.get("n").await?,
                    state.put_once("n", json!(1)).await?,
                    state.put_once("n", json!(2)).await?
                ]))
            }
            "shares" => {
                let shared = ctx.shared("scope");
                Ok(json!([
                    shared.compare_and_set("k", &"a", 0).await?,
                    shared.get::<String>("k").await?,
                    shared.compare_and_set("k", &"x", 0).await?,
                    shared.compare_and_set("k", &"b", 1).await?,
                    shared.get::<String>("k").await?
                ]))
            }
            "keep" => crate::kept::keep(&params.argv[0], ctx).await,
            "siblings" => {
                let shown = |sibling: &Sibling| json!([sibling.task, sibling.state.to_string(), sibling.allow_failure]);
                Ok(ctx.siblings().await?.iter().map(shown).collect())
            }
            "child" => {
                let exit = ctx
                    .run_child(ChildSpec::new(params.argv), &mut |output, line| {
                        ctx.log_child(output, Level::Info, line);
                    })
                    .await?;
                Ok(json!({ "exit": format!("{exit:?}") }))
            }
            other => Err(TaskError::fail("BadParameters", format!("no such act: {other}"))),
        }
    }
}

/// One line in `<folder>/bodies`: task, attempt, process. Ends when `<folder>/go` is there.
async fn note(folder: &str, ctx: &Context) -> Result<Value, TaskError> {
    use std::io::Write;
    let folder = Path::new(folder);
    let line = format!("{} {} {}\n", ctx.attempt().key, ctx.attempt().dispatch_no, std::process::id());
    let mut bodies = std::fs::File::options().create(true).append(true).open(folder.join("bodies")).unwrap();
    bodies.write_all(line.as_bytes()).unwrap();
    ctx.info(format!("noted by {}", std::process::id()));
    while !folder.join("go").exists() {
        tokio::select! {
            () = ctx.cancelled().cancelled() => return Err(TaskError::cancelled()),
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
    }
    Ok(json!({ "by": std::process::id() }))
}

/// As [`Act`], but a second execution shows.
pub struct Once;

impl Task for Once {
    const TYPE: &'static str = "once";
    const SUMMARY: &'static str = "Does what it is told, and a second time would show";
    const EFFECTS: Effects = Effects::AtLeastOnce;
    const CONNECTION: ConnectionNeed = ConnectionNeed::None;
    const ERRORS: &'static [ErrorClass] = &[];
    const EXAMPLE: &'static str = "";
    type Params = Params;
    type Output = Value;

    async fn run(params: Params, ctx: &Context) -> Result<Value, TaskError> {
        Act::run(params, ctx).await
    }
}

/// A store with its reader.
#[derive(Clone)]
pub struct Place {
    pub store: Arc<dyn Store>,
    pub reader: Arc<dyn Reader>,
    pub logs: Arc<dyn Logs>,
}

pub fn memory() -> Place {
    let store = MemoryStore::new(now);
    Place { store: Arc::new(store.clone()), logs: Arc::new(store.clone()), reader: Arc::new(store) }
}

pub async fn sqlite(folder: &Path) -> Place {
    let store = Arc::new(SqliteStore::open(folder.join("updraft.db"), OpenOptions::default()).await.unwrap());
    Place { reader: Arc::new(store.reader()), logs: Arc::clone(&store) as _, store }
}

/// On PostgreSQL; `None`, after a loud skip, where there is none. The database goes with the value.
pub async fn postgres() -> Option<(Place, updraft_testkit::postgres::Database)> {
    let database = tokio::task::spawn_blocking(updraft_testkit::postgres::fresh_database).await.unwrap().unwrap()?;
    Some((postgres_at(database.url()).await, database))
}

pub async fn postgres_at(url: &str) -> Place {
    let store = PgStore::open(url).await.unwrap();
    Place { reader: Arc::new(store.clone()), logs: Arc::new(store.clone()), store: Arc::new(store) }
}

/// Delays that tests can wait for.
pub fn config(place: &Place, folder: &Path) -> EngineConfig {
    let mut registry = Registry::new();
    registry.add::<Act>().add::<Once>();
    let mut config = EngineConfig::new(
        Arc::clone(&place.store),
        Arc::clone(&place.reader),
        Arc::new(registry),
        Arc::new(NoConnections),
        folder,
    );
    config.child_launcher = env!("CARGO_BIN_EXE_updraft-engine-child").into();
    config.cancel_grace = Duration::from_millis(300);
    config.backoff = (Duration::from_millis(1), Duration::from_millis(20));
    config
}

/// A workflow from its tasks as JSON.
pub fn workflow(tasks: Value) -> Workflow {
    with_keys(json!({ "tasks": tasks }))
}

pub fn with_keys(mut keys: Value) -> Workflow {
    keys["id"] = json!("w");
    keys["max_active_runs"] = json!(16);
    serde_json::from_value(keys).unwrap()
}

/// `t0 → t1 → …`
pub fn chain(length: usize) -> Workflow {
    let tasks: Vec<Value> = (0..length)
        .map(|n| match n {
            0 => json!({ "id": "t0", "type": "act" }),
            n => json!({ "id": format!("t{n}"), "type": "act", "depends_on": [format!("t{}", n - 1)] }),
        })
        .collect();
    workflow(json!(tasks))
}

pub async fn publish(store: &dyn Store, workflow: &Workflow) -> Published {
    let compiled = serde_json::to_string(workflow).unwrap();
    let new = NewVersion {
        workflow: workflow.id.clone(),
        sha256: updraft_model::canonical::sha256_hex(compiled.as_bytes()),
        source: "test".to_owned(),
        path: "test.yaml".to_owned(),
        compiled,
    };
    store.publish(&new, now()).await.unwrap()
}

pub async fn new_run(store: &dyn Store, workflow: Workflow) -> NewRun {
    let version = publish(store, &workflow).await;
    NewRun::manual(version, Arc::new(Compiled::new(workflow).unwrap()), now(), "test")
}

pub async fn start(engine: &Engine, place: &Place, workflow: Workflow) -> RunHandle {
    engine.create_run(new_run(&*place.store, workflow).await).await.unwrap()
}

/// Waits for a run, but not for ever.
pub async fn ended(handle: &mut RunHandle) -> RunEnd {
    tokio::time::timeout(Duration::from_secs(30), handle.wait()).await.expect("the run ends within 30 s")
}

pub fn state_of(end: &RunEnd) -> RunState {
    match end {
        RunEnd::Finished(projection) => projection.state,
        other => panic!("the run is not over: {other:?}"),
    }
}

/// Waits for an event.
pub async fn until(
    events: &mut broadcast::Receiver<EngineEvent>,
    wanted: impl Fn(&EngineEvent) -> bool,
) -> EngineEvent {
    tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            match events.recv().await {
                Ok(event) if wanted(&event) => return event,
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => panic!("the engine is gone"),
            }
        }
    })
    .await
    .expect("the event comes within 30 s")
}

pub fn attempt_started(task: &'static str) -> impl Fn(&EngineEvent) -> bool {
    move |event| matches!(event, EngineEvent::AttemptStarted { key, .. } if key.task.as_str() == task)
}

pub async fn detail(place: &Place, run: RunId) -> RunDetail {
    place.reader.detail(run).await.unwrap().unwrap()
}

pub fn final_state(detail: &RunDetail, task: &str) -> Option<FinalState> {
    detail.task_runs.iter().find(|row| row.key.task.as_str() == task).map(|row| row.state)
}

pub fn outcomes(detail: &RunDetail, task: &str) -> Vec<Outcome> {
    detail.attempts.iter().filter(|row| row.key.task.as_str() == task).map(|row| row.outcome).collect()
}
