//! Counts are the test: commits and round trips of the hot path.

use serde_json::{Value, json};
use updraft_engine::Engine;
use updraft_model::state::RunState;
use updraft_store::Purpose;

use crate::support::{Place, chain, config, ended, memory, sqlite, start, state_of, workflow};

async fn chain_is_counted(place: Place) {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let length = 100;
    let new = crate::support::new_run(&*place.store, chain(length)).await;
    let counters = place.store.counters();
    let before = (counters.commits(Purpose::Engine), counters.round_trips(Purpose::Engine));
    let mut run = engine.create_run(new).await.unwrap();
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    let commits = counters.commits(Purpose::Engine) - before.0;
    let round_trips = counters.round_trips(Purpose::Engine) - before.1;
    assert_eq!(commits, length as u64 + 1, "a chain of N tasks is N + 1 commits");
    assert!(round_trips <= length as u64 + 8, "{round_trips} round trips for {length} tasks");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_n_tasks_is_n_plus_1_commits_in_memory() {
    chain_is_counted(memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_n_tasks_is_n_plus_1_commits_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    chain_is_counted(sqlite(folder.path()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_n_tasks_is_n_plus_1_commits_on_postgres() {
    let Some((place, _database)) = crate::support::postgres().await else { return };
    chain_is_counted(place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_engine_commits_nothing_for_the_engine() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let mut run = start(&engine, &place, chain(1)).await;
    ended(&mut run).await;
    let commits = place.store.counters().commits(Purpose::Engine);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(place.store.counters().commits(Purpose::Engine), commits);
    engine.shutdown().await;
}

fn fan_out(leaves: usize) -> updraft_model::workflow::Workflow {
    let mut tasks = vec![json!({ "id": "root", "type": "act" })];
    tasks.extend((0..leaves).map(|n| json!({ "id": format!("l{n}"), "type": "act", "depends_on": ["root"] })));
    workflow(Value::Array(tasks))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_out_wider_than_window_and_slots_ends_with_each_body_run_once() {
    for (slots, window) in [(4, 8), (4, 4), (16, 512)] {
        let place = memory();
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&place, folder.path());
        config.slots = slots;
        config.dispatch_window = window;
        let engine = Engine::start(config).await.unwrap();
        let mut run = start(&engine, &place, fan_out(300)).await;
        assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
        for leaf in 0..300 {
            assert_eq!(crate::support::bodies(run.run_id(), &format!("l{leaf}")), [1]);
        }
        engine.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_runs_at_once_share_commits() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let mut runs = Vec::new();
    for _ in 0..50 {
        runs.push(start(&engine, &place, chain(3)).await);
    }
    for run in &mut runs {
        assert_eq!(state_of(&ended(run).await), RunState::Succeeded);
    }
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn max_active_tasks_is_never_exceeded() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let mut events = engine.subscribe();
    let tasks: Vec<Value> = (0..20).map(|n| json!({ "id": format!("t{n}"), "type": "act" })).collect();
    let mut run =
        start(&engine, &place, crate::support::with_keys(json!({ "tasks": tasks, "max_active_tasks": 3 }))).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    let (mut active, mut most, mut seen) = (0, 0, 0);
    while let Ok(event) = events.try_recv() {
        match event {
            updraft_engine::EngineEvent::TaskDispatched { .. } => {
                active += 1;
                seen += 1;
                most = most.max(active);
            }
            updraft_engine::EngineEvent::TaskFinished { .. } => active -= 1,
            _ => {}
        }
    }
    assert_eq!(seen, 20);
    assert!(most <= 3, "{most} tasks were dispatched at one time");
    engine.shutdown().await;
}
