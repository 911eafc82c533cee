//! Cancels, graceful stops, aborts, and going on afterwards.

use std::time::Duration;

use serde_json::json;
use updraft_engine::{Engine, EngineError, RunEnd};
use updraft_model::state::{Cause, FinalState, Outcome, RunState};

use crate::support::{
    Place, attempt_started, bodies, config, detail, ended, final_state, memory, outcomes, sqlite, start, state_of,
    until, workflow,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_stops_what_runs_and_ends_what_waits() {
    for act in ["hang", "stubborn"] {
        let place = memory();
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::start(config(&place, folder.path())).await.unwrap();
        let mut events = engine.subscribe();
        let tasks = json!([
            { "id": "a", "type": "act" },
            { "id": "b", "type": "act", "with": { "act": act }, "depends_on": ["a"] },
            { "id": "c", "type": "act", "depends_on": ["b"] },
        ]);
        let mut run = start(&engine, &place, workflow(tasks)).await;
        until(&mut events, attempt_started("b")).await;
        engine.cancel(run.run_id(), "cli:me", "enough").await.unwrap();
        assert_eq!(state_of(&ended(&mut run).await), RunState::Cancelled);
        let detail = detail(&place, run.run_id()).await;
        assert_eq!(final_state(&detail, "a"), Some(FinalState::Succeeded));
        assert_eq!(final_state(&detail, "b"), Some(FinalState::Cancelled));
        assert_eq!(final_state(&detail, "c"), Some(FinalState::Cancelled));
        let again = engine.cancel(run.run_id(), "cli:me", "more").await;
        assert!(matches!(again, Err(EngineError::Rejected { .. })), "{again:?}");
        engine.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_of_a_run_that_waits_for_a_retry_ends_it_at_once() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let mut events = engine.subscribe();
    let tasks = json!([{ "id": "a", "type": "act", "with": { "act": "retry" }, "retry": {
        "limit": 2, "delay": "1h", "backoff": "constant", "factor": 2.0, "max_delay": "1h", "jitter": 0.0 } }]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    until(&mut events, |event| matches!(event, updraft_engine::EngineEvent::RetryScheduled { .. })).await;
    engine.cancel(run.run_id(), "cli:me", "enough").await.unwrap();
    assert_eq!(state_of(&ended(&mut run).await), RunState::Cancelled);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_running_attempts_end_and_starts_nothing_new() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let mut events = engine.subscribe();
    let tasks = json!([
        { "id": "a", "type": "act", "with": { "act": "child", "argv": ["sleep", "0.2"] } },
        { "id": "b", "type": "act", "depends_on": ["a"] },
    ]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    until(&mut events, attempt_started("a")).await;
    engine.drain().await;
    engine.shutdown().await;
    assert_eq!(ended(&mut run).await, RunEnd::Interrupted);
    let detail = detail(&place, run.run_id()).await;
    assert_eq!(final_state(&detail, "a"), Some(FinalState::Succeeded));
    assert_eq!(final_state(&detail, "b"), None);
    assert!(bodies(run.run_id(), "b").is_empty());
}

async fn resumed_after_abort(place: Place) {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let mut events = engine.subscribe();
    let tasks = json!([
        { "id": "a", "type": "act" },
        { "id": "b", "type": "act", "with": { "act": "child", "argv": ["sh", "-c", "test -e go || sleep 60"] },
          "depends_on": ["a"] },
        { "id": "c", "type": "act", "depends_on": ["b"] },
    ]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    until(&mut events, attempt_started("b")).await;
    engine.abort().await;
    engine.shutdown().await;
    assert_eq!(ended(&mut run).await, RunEnd::Interrupted);
    let cut = detail(&place, run.run_id()).await;
    assert_eq!(outcomes(&cut, "b"), [Outcome::Lost]);
    assert_eq!(cut.attempts.iter().find(|row| row.outcome == Outcome::Lost).unwrap().cause, Cause::Drained);

    std::fs::write(folder.path().join("go"), "").unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let mut resumed = engine.resume(run.run_id()).await.unwrap();
    assert_eq!(state_of(&ended(&mut resumed).await), RunState::Succeeded);
    assert_eq!(bodies(run.run_id(), "a"), [1], "an accepted result is never made again");
    let whole = detail(&place, run.run_id()).await;
    assert_eq!(outcomes(&whole, "b"), [Outcome::Lost, Outcome::Succeeded]);
    let over = engine.resume(run.run_id()).await;
    assert!(matches!(over, Err(EngineError::RunOver { .. })), "{over:?}");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_run_goes_on_in_memory() {
    resumed_after_abort(memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_run_goes_on_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    resumed_after_abort(sqlite(folder.path()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_run_goes_on_on_postgres() {
    let Some((place, _database)) = crate::support::postgres().await else { return };
    resumed_after_abort(place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_engine_can_cancel_a_run_and_cannot_take_it_from_a_live_one() {
    let Some((place, database)) = crate::support::postgres().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let owner = Engine::start(config(&place, folder.path())).await.unwrap();
    let mut events = owner.subscribe();
    let tasks = json!([{ "id": "a", "type": "act", "with": { "act": "hang" } }]);
    let mut run = start(&owner, &place, workflow(tasks)).await;
    until(&mut events, attempt_started("a")).await;
    let elsewhere = crate::support::postgres_at(database.url()).await;
    let other = Engine::start(config(&elsewhere, folder.path())).await.unwrap();
    let refused = other.resume(run.run_id()).await;
    assert!(matches!(refused, Err(EngineError::Held { .. })), "{refused:?}");
    other.cancel(run.run_id(), "cli:me", "enough").await.unwrap();
    assert_eq!(state_of(&ended(&mut run).await), RunState::Cancelled);
    other.shutdown().await;
    owner.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_only_waits_hears_that_another_engine_cancelled_it() {
    let Some((place, database)) = crate::support::postgres().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let owner = Engine::start(config(&place, folder.path())).await.unwrap();
    let mut events = owner.subscribe();
    let tasks = json!([{ "id": "a", "type": "act", "with": { "act": "retry" }, "retry": {
        "limit": 2, "delay": "1h", "backoff": "constant", "factor": 2.0, "max_delay": "1h", "jitter": 0.0 } }]);
    let mut run = start(&owner, &place, workflow(tasks)).await;
    until(&mut events, |event| matches!(event, updraft_engine::EngineEvent::RetryScheduled { .. })).await;
    let elsewhere = crate::support::postgres_at(database.url()).await;
    let other = Engine::start(config(&elsewhere, folder.path())).await.unwrap();
    other.cancel(run.run_id(), "cli:me", "enough").await.unwrap();
    assert_eq!(state_of(&ended(&mut run).await), RunState::Cancelled);
    other.shutdown().await;
    owner.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_takes_too_long_ends_as_an_abort() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&place, folder.path());
    config.drain_limit = Duration::from_millis(50);
    let engine = Engine::start(config).await.unwrap();
    let mut events = engine.subscribe();
    let tasks = json!([{ "id": "a", "type": "act", "with": { "act": "stubborn" } }]);
    let run = start(&engine, &place, workflow(tasks)).await;
    until(&mut events, attempt_started("a")).await;
    engine.drain().await;
    engine.shutdown().await;
    assert_eq!(outcomes(&detail(&place, run.run_id()).await, "a"), [Outcome::Lost]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_runs_are_said_to_be_unknown() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let run = updraft_model::id::RunId(uuid::Uuid::now_v7());
    assert!(matches!(engine.cancel(run, "x", "").await, Err(EngineError::NoRun(id)) if id == run));
    assert!(matches!(engine.resume(run).await, Err(EngineError::NoRun(id)) if id == run));
    engine.shutdown().await;
}
