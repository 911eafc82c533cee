//! Retries, marks and their previews, on every store.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::broadcast;
use updraft_engine::{Engine, EngineError, EngineEvent, MarkRequest, Operation, RetryRequest, RunHandle};
use updraft_model::graph::Compiled;
use updraft_model::id::{RunId, TaskKey};
use updraft_model::input::{Reject, RetryWhat};
use updraft_model::preview::Effect;
use updraft_model::state::{Cause, FinalState, Outcome, RunState};

use crate::support::{
    Place, attempt_started, config, detail, ended, final_state, memory, new_run, outcomes, postgres, publish, sqlite,
    start, state_of, until, workflow,
};

fn retry(what: RetryWhat) -> RetryRequest {
    RetryRequest {
        what,
        tasks: Vec::new(),
        downstream: false,
        newest: None,
        queue: None,
        by: "user:ops".to_owned(),
        reason: "again".to_owned(),
    }
}

fn mark(task: &str, state: FinalState) -> MarkRequest {
    MarkRequest { tasks: Some(vec![TaskKey::of(task)]), state, by: "user:ops".to_owned(), reason: "seen".to_owned() }
}

/// `a → b → c`, where `b` fails in its first generation.
fn fails_once() -> updraft_model::workflow::Workflow {
    workflow(json!([
        { "id": "a", "type": "act" },
        { "id": "b", "type": "act", "with": { "act": "again" }, "depends_on": ["a"] },
        { "id": "c", "type": "act", "depends_on": ["b"] },
    ]))
}

async fn serving(place: &Place, folder: &std::path::Path) -> Engine {
    let mut config = config(place, folder);
    config.queues = vec!["default".to_owned()];
    Engine::start(config).await.unwrap()
}

async fn over(events: &mut broadcast::Receiver<EngineEvent>, run: RunId) -> RunState {
    let found = until(events, |event| matches!(event, EngineEvent::RunFinished { run_id, .. } if *run_id == run)).await;
    match found {
        EngineEvent::RunFinished { state, .. } => state,
        other => panic!("{other:?}"),
    }
}

/// A run that a foreground engine without shared queues made and left failed.
async fn left_failed(place: &Place, folder: &std::path::Path) -> RunId {
    let engine = Engine::start(config(place, folder)).await.unwrap();
    let mut run: RunHandle = start(&engine, place, fails_once()).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Failed);
    engine.shutdown().await;
    run.run_id()
}

async fn retried_by_another(place: Place) {
    let folder = tempfile::tempdir().unwrap();
    let run = left_failed(&place, folder.path()).await;
    let engine = serving(&place, folder.path()).await;
    let mut events = engine.subscribe();
    let before = detail(&place, run).await;

    let seen = engine.preview(run, &Operation::Retry(retry(RetryWhat::Failed))).await.unwrap();
    assert_eq!(seen.text, "Re-run 2 tasks");
    assert!(seen.tasks.iter().all(|touched| touched.effect == Effect::Rerun));
    assert_eq!(detail(&place, run).await, before, "a look changes nothing");

    engine.retry(run, retry(RetryWhat::Failed)).await.unwrap();
    assert_eq!(over(&mut events, run).await, RunState::Succeeded);
    let after = detail(&place, run).await;
    assert_eq!(after.run.row.facts.queue, "default", "its own queue was nobody's any more");
    assert_eq!(after.run.row.projection.generation, 1);
    assert_eq!(outcomes(&after, "a"), [Outcome::Succeeded]);
    assert_eq!(outcomes(&after, "b"), [Outcome::Failed, Outcome::Succeeded]);
    let generations: Vec<_> =
        after.attempts.iter().filter(|row| row.key.task.as_str() == "b").map(|row| row.generation).collect();
    assert_eq!(generations, [0, 1]);
    let nothing = engine.retry(run, retry(RetryWhat::Failed)).await;
    assert!(matches!(nothing, Err(EngineError::Rejected { reject: Reject::NothingToRetry(_), .. })), "{nothing:?}");
    let history = place.reader.history(run, 0).await.unwrap();
    assert!(history.iter().any(|entry| entry.actor == "user:ops"), "who asked is on record");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_of_a_foreground_engine_is_retried_by_one_that_serves() {
    retried_by_another(memory()).await;
    let folder = tempfile::tempdir().unwrap();
    retried_by_another(sqlite(folder.path()).await).await;
    if let Some((place, _database)) = postgres().await {
        retried_by_another(place).await;
    }
}

async fn marked_while_it_runs(place: Place) {
    let folder = tempfile::tempdir().unwrap();
    let engine = serving(&place, folder.path()).await;
    let mut events = engine.subscribe();
    let tasks = json!([
        { "id": "a", "type": "act", "with": { "act": "hang" } },
        { "id": "b", "type": "act", "depends_on": ["a"] },
    ]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    until(&mut events, attempt_started("a")).await;
    let seen = engine.preview(run.run_id(), &Operation::Mark(mark("a", FinalState::Succeeded))).await.unwrap();
    assert_eq!(seen.text, "Mark 1 task as succeeded and start 1");
    let seen = engine.preview(run.run_id(), &Operation::Cancel).await.unwrap();
    assert_eq!(seen.text, "Stop 1 running task and cancel 1 waiting");
    engine.mark(run.run_id(), mark("a", FinalState::Succeeded)).await.unwrap();
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    let detail = detail(&place, run.run_id()).await;
    assert_eq!(final_state(&detail, "a"), Some(FinalState::Succeeded));
    let a = detail.attempts.iter().find(|row| row.key.task.as_str() == "a").unwrap();
    assert_eq!((a.outcome, a.cause), (Outcome::Cancelled, Cause::Marked));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_task_is_marked_and_its_body_stopped() {
    marked_while_it_runs(memory()).await;
    let folder = tempfile::tempdir().unwrap();
    marked_while_it_runs(sqlite(folder.path()).await).await;
    if let Some((place, _database)) = postgres().await {
        marked_while_it_runs(place).await;
    }
}

async fn mended_by_a_newer_version(place: Place) {
    let folder = tempfile::tempdir().unwrap();
    let engine = serving(&place, folder.path()).await;
    let mut events = engine.subscribe();
    let broken = json!([
        { "id": "a", "type": "act" },
        { "id": "b", "type": "act", "with": { "act": "fail" }, "depends_on": ["a"] },
        { "id": "old", "type": "act", "depends_on": ["a"] },
    ]);
    let mut run = start(&engine, &place, workflow(broken)).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Failed);
    let mended = workflow(json!([
        { "id": "a", "type": "act" },
        { "id": "b", "type": "act", "with": { "say": "{{ tasks.a.output.said }}" }, "depends_on": ["a"] },
        { "id": "fresh", "type": "act", "depends_on": ["b"] },
    ]));
    let published = publish(&*place.store, &mended).await;
    let compiled = Arc::new(Compiled::new(mended).unwrap());
    let request = RetryRequest { newest: Some((published.version_id, compiled)), ..retry(RetryWhat::Failed) };
    let seen = engine.preview(run.run_id(), &Operation::Retry(request.clone())).await.unwrap();
    assert_eq!(seen.text, "Re-run 1 task, start 1 task and remove 1 task");
    engine.retry(run.run_id(), request).await.unwrap();
    // The first end was told already.
    assert_eq!(over(&mut events, run.run_id()).await, RunState::Failed);
    assert_eq!(over(&mut events, run.run_id()).await, RunState::Succeeded);
    let detail = detail(&place, run.run_id()).await;
    assert_eq!(detail.run.row.facts.version_id, published.version_id);
    for task in ["a", "b", "fresh"] {
        assert_eq!(final_state(&detail, task), Some(FinalState::Succeeded), "{task}");
    }
    assert_eq!(final_state(&detail, "old"), Some(FinalState::Removed));
    // Another engine takes it from there: the whole run again, on the version that it is on now.
    engine.shutdown().await;
    let other = serving(&place, folder.path()).await;
    let mut events = other.subscribe();
    other.retry(run.run_id(), retry(RetryWhat::All)).await.unwrap();
    assert_eq!(over(&mut events, run.run_id()).await, RunState::Succeeded);
    other.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_mended_by_a_newer_version() {
    mended_by_a_newer_version(memory()).await;
    let folder = tempfile::tempdir().unwrap();
    mended_by_a_newer_version(sqlite(folder.path()).await).await;
    if let Some((place, _database)) = postgres().await {
        mended_by_a_newer_version(place).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_run_retries_what_failed_while_the_rest_goes_on() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = serving(&place, folder.path()).await;
    let mut events = engine.subscribe();
    let tasks = json!([
        { "id": "slow", "type": "act", "with": { "act": "hang" } },
        { "id": "b", "type": "act", "with": { "act": "again" } },
        { "id": "c", "type": "act", "depends_on": ["b"] },
    ]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    let ended_as = |task: &'static str, wanted: FinalState| move |event: &EngineEvent| matches!(event, EngineEvent::TaskFinished { key, state, .. } if key.task.as_str() == task && *state == wanted);
    until(&mut events, ended_as("c", FinalState::UpstreamFailed)).await;
    let busy = engine.retry(run.run_id(), retry(RetryWhat::All)).await;
    assert!(matches!(busy, Err(EngineError::Rejected { reject: Reject::Executing(_), .. })), "{busy:?}");
    engine.retry(run.run_id(), retry(RetryWhat::Failed)).await.unwrap();
    until(&mut events, ended_as("c", FinalState::Succeeded)).await;
    engine.mark(run.run_id(), mark("slow", FinalState::Failed)).await.unwrap();
    assert_eq!(state_of(&ended(&mut run).await), RunState::Failed);
    engine.mark(run.run_id(), mark("slow", FinalState::Succeeded)).await.unwrap();
    let detail = detail(&place, run.run_id()).await;
    assert_eq!(detail.run.row.projection.state, RunState::Succeeded, "its outcome was corrected");
    assert_eq!(detail.run.row.projection.generation, 0);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_find_a_run_that_others_have_put_on_another_version() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (serving(&place, folder.path()).await, serving(&place, folder.path()).await);
    let new = new_run(&*place.store, fails_once()).await;
    let mut run = first.create_run(new).await.unwrap();
    assert_eq!(state_of(&ended(&mut run).await), RunState::Failed);
    let mut newer = fails_once();
    newer.tasks.remove(2);
    let published = publish(&*place.store, &newer).await;
    let newest = Some((published.version_id, Arc::new(Compiled::new(newer).unwrap())));
    second.retry(run.run_id(), RetryRequest { newest, ..retry(RetryWhat::All) }).await.unwrap();
    // Whichever of the two executes it, the other one's picture of the run is of a version or generation before.
    settled(&place, run.run_id(), 1).await;
    for (generation, engine) in (2..).zip([&first, &second, &first]) {
        engine.retry(run.run_id(), retry(RetryWhat::All)).await.unwrap();
        settled(&place, run.run_id(), generation).await;
    }
    first.shutdown().await;
    second.shutdown().await;
}

/// Both engines may tell of one end, so the store is asked.
async fn settled(place: &Place, run: RunId, generation: u32) {
    let over = async {
        loop {
            let projection = detail(place, run).await.run.row.projection;
            if projection.generation == generation && projection.state.is_final() {
                return projection.state;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let state = tokio::time::timeout(std::time::Duration::from_secs(30), over).await.expect("it ends within 30 s");
    assert_eq!(state, RunState::Succeeded);
}
