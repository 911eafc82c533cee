//! For tests: `__child …` as the product's binary does it; `worker STORE FOLDER ARGV…` runs one child through an engine
//! until it is killed.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use updraft_engine::{Engine, EngineConfig, NewRun, NoConnections, child};
use updraft_model::graph::Compiled;
use updraft_model::time::Timestamp;
use updraft_store::Store;
use updraft_task::{ChildSpec, ConnectionNeed, Context, Effects, ErrorClass, Registry, Task, TaskError};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().and_then(|first| first.into_string().ok()).as_deref() {
        Some("__child") => ExitCode::from(u8::try_from(child::child_main(arguments)).unwrap_or(1)),
        Some("worker") => {
            let rest: Vec<String> = arguments.filter_map(|argument| argument.into_string().ok()).collect();
            let runtime = tokio::runtime::Runtime::new().expect("a test machine has threads");
            runtime.block_on(worker(&rest[0], &rest[1..]));
            ExitCode::SUCCESS
        }
        _ => ExitCode::from(2),
    }
}

/// Runs what `argv` says.
struct RunChild;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Params {
    argv: Vec<String>,
}

impl Task for RunChild {
    const TYPE: &'static str = "test.child";
    const SUMMARY: &'static str = "A child";
    const EFFECTS: Effects = Effects::AtLeastOnce;
    const CONNECTION: ConnectionNeed = ConnectionNeed::None;
    const ERRORS: &'static [ErrorClass] = &[];
    const EXAMPLE: &'static str = "";
    type Params = Params;
    type Output = ();

    async fn run(params: Params, ctx: &Context) -> Result<(), TaskError> {
        ctx.run_child(ChildSpec::new(params.argv), &mut |_, line| ctx.info(line)).await?;
        Ok(())
    }
}

async fn worker(folder: &str, argv: &[String]) {
    let folder = PathBuf::from(folder);
    let clock = || Timestamp::from_datetime(chrono::Utc::now());
    let store = Arc::new(updraft_store::memory::MemoryStore::new(clock));
    let mut registry = Registry::new();
    registry.add::<RunChild>();
    let reader = Arc::clone(&store) as Arc<dyn updraft_store::Reader>;
    let config = EngineConfig::new(
        Arc::clone(&store) as Arc<dyn Store>,
        reader,
        Arc::new(registry),
        Arc::new(NoConnections),
        folder,
    );
    let engine = Engine::start(config).await.expect("a memory store always starts");
    let workflow: updraft_model::workflow::Workflow = serde_json::from_value(serde_json::json!({
        "id": "w", "max_active_runs": 1,
        "tasks": [{ "id": "a", "type": "test.child", "with": { "argv": argv } }],
    }))
    .expect("a workflow of one task");
    let new = updraft_store::NewVersion {
        workflow: "w".to_owned(),
        sha256: "0".repeat(64),
        source: String::new(),
        path: String::new(),
        compiled: serde_json::to_string(&workflow).expect("a workflow is JSON"),
    };
    let version = store.publish(&new, clock()).await.expect("a memory store publishes");
    let compiled = Arc::new(Compiled::new(workflow).expect("one task has no cycle"));
    let mut run = engine.create_run(NewRun::manual(version, compiled, clock(), "test")).await.expect("it starts");
    run.wait().await;
}
