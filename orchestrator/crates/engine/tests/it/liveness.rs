//! Workers, leases and time limits, in one process.

use std::time::Duration;

use serde_json::json;
use updraft_engine::{Engine, Watch};
use updraft_model::state::{Cause, Outcome, RunState};
use updraft_store::WorkerState;

use crate::support::{
    Place, attempt_started, config, detail, ended, memory, new_run, outcomes, start, state_of, until, with_keys,
    workflow,
};

/// Times that a test can wait for.
pub fn quick() -> Watch {
    Watch {
        every: Duration::from_millis(250),
        absent: Duration::from_secs(2),
        settle: Duration::from_secs(4),
        grace: Duration::from_secs(1),
        limits: Duration::from_millis(200),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_declared_dead_registers_anew_and_works_on() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let mut events = engine.subscribe();
    let hang = workflow(json!([{ "id": "a", "type": "act", "with": { "act": "hang" } }]));
    start(&engine, &place, hang).await;
    until(&mut events, attempt_started("a")).await;
    let before = engine.worker_no();
    let seen = place.store.peers().await.unwrap().pop().unwrap();
    assert!(place.store.condemn(&seen).await.unwrap());
    engine.nudge();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while engine.worker_no() == before {
        assert!(std::time::Instant::now() < deadline, "it did not register anew");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut run = start(&engine, &place, crate::support::chain(2)).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    let peers = place.store.peers().await.unwrap();
    assert!(peers.iter().any(|peer| peer.worker_no == engine.worker_no() && peer.state == WorkerState::Active));
    engine.shutdown().await;
}

/// A run's limit outlives the process that made it.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_at_its_time_limit_in_a_daemon_that_did_not_make_it() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let mut maker = config(&place, folder.path());
    maker.slots = 0;
    let maker = Engine::start(maker).await.unwrap();
    let limited = with_keys(json!({ "timeout": "1s", "tasks": [
        { "id": "a", "type": "act", "with": { "act": "hang" } }] }));
    let mut new = new_run(&*place.store, limited).await;
    new.queue = Some("default".to_owned());
    let run = maker.create_run(new).await.unwrap().run_id();
    drop(maker);
    let mut daemon = config(&place, folder.path());
    daemon.queues = vec!["default".to_owned()];
    daemon.watch = Some(quick());
    let daemon = Engine::start(daemon).await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let found = detail(&place, run).await;
        let projection = &found.run.row.projection;
        if projection.state.is_final() {
            assert_eq!((projection.state, projection.cause), (RunState::Failed, Some(Cause::RunTimeout)));
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{projection:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    daemon.shutdown().await;
}

async fn end_all_sessions(url: &str) {
    use sqlx::Connection;
    let mut admin = sqlx::PgConnection::connect(url).await.unwrap();
    let cut: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert!(cut > 4, "{cut}");
    admin.close().await.unwrap();
}

/// F35: every lock vanishes at once, and nobody is accused.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_all_sessions_makes_no_attempt_lost() {
    let Some((place, database)) = crate::support::postgres().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let engine_at = async |place: &Place| {
        let mut config = config(place, folder.path());
        config.heartbeat = Duration::from_secs(2);
        config.watch = Some(quick());
        Engine::start(config).await.unwrap()
    };
    let one = engine_at(&place).await;
    let elsewhere = crate::support::postgres_at(database.url()).await;
    let two = engine_at(&elsewhere).await;
    let mut runs = Vec::new();
    for (engine, place) in [(&one, &place), (&two, &elsewhere)] {
        let mut events = engine.subscribe();
        let tasks = json!([
            { "id": "a", "type": "act", "with": { "act": "note", "argv": [folder.path()] } },
            { "id": "b", "type": "once", "with": { "act": "note", "argv": [folder.path()] } },
        ]);
        runs.push(start(engine, place, workflow(tasks)).await);
        until(&mut events, attempt_started("a")).await;
    }
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        end_all_sessions(database.url()).await;
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    std::fs::write(folder.path().join("go"), "").unwrap();
    for run in &mut runs {
        assert_eq!(state_of(&ended(run).await), RunState::Succeeded);
        let found = detail(&place, run.run_id()).await;
        for task in ["a", "b"] {
            assert_eq!(outcomes(&found, task), [Outcome::Succeeded], "{:?}", found.attempts);
        }
    }
    one.shutdown().await;
    two.shutdown().await;
}
