//! What bodies answer, and what is made of it.

use serde_json::{Value, json};
use updraft_engine::{Engine, EngineEvent};
use updraft_model::state::{Cause, FinalState, Outcome, RunState};

use crate::support::{
    bodies, config, detail, ended, final_state, memory, outcomes, start, state_of, until, with_keys, workflow,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_end_is_recorded_as_what_it_was() {
    let table: &[(&str, FinalState, Outcome, Cause, &str)] = &[
        ("ok", FinalState::Succeeded, Outcome::Succeeded, Cause::Task, ""),
        ("fail", FinalState::Failed, Outcome::Failed, Cause::Task, "it is broken"),
        ("retry", FinalState::Failed, Outcome::Failed, Cause::Task, "not this time"),
        ("skip", FinalState::Skipped, Outcome::Skipped, Cause::Task, "nothing to do"),
        ("panic", FinalState::Failed, Outcome::Failed, Cause::Panic, "out of order"),
        ("large", FinalState::Failed, Outcome::Failed, Cause::BadOutput, "at most 49152 are kept"),
        ("nul", FinalState::Failed, Outcome::Failed, Cause::BadOutput, "cannot be stored"),
        ("unheard_of", FinalState::Failed, Outcome::Failed, Cause::BadParameters, "no such act"),
    ];
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    for (act, state, outcome, cause, message) in table {
        let tasks = json!([{ "id": "a", "type": "act", "with": { "act": act } }]);
        let mut run = start(&engine, &place, workflow(tasks)).await;
        ended(&mut run).await;
        let detail = detail(&place, run.run_id()).await;
        let attempt = &detail.attempts[0];
        assert_eq!(final_state(&detail, "a"), Some(*state), "{act}");
        assert_eq!((attempt.outcome, attempt.cause), (*outcome, *cause), "{act}");
        assert!(attempt.message.as_deref().unwrap_or_default().contains(message), "{act}: {attempt:?}");
    }
    engine.shutdown().await;
}

/// Two branches of which a param chooses one, and what joins them.
fn branches() -> Value {
    json!([
        { "id": "a", "type": "act", "with": { "say": 7 } },
        { "id": "spark", "type": "act", "depends_on": ["a"], "when": "{{ params.engine == 'spark' }}" },
        { "id": "local", "type": "act", "depends_on": ["a"], "when": "{{ params.engine == 'local' }}" },
        { "id": "after_spark", "type": "act", "depends_on": ["spark"] },
        { "id": "join", "type": "act", "depends_on": ["spark", "local"], "trigger_rule": "none_failed_min_one_success",
          "when": "{{ tasks.a.output.said > 5 and tasks.local.state == 'succeeded' }}" },
        { "id": "neither", "type": "act", "depends_on": ["spark", "after_spark"],
          "trigger_rule": "none_failed_min_one_success" },
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_is_false_skips_its_task_and_says_why() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let mut new = crate::support::new_run(&*place.store, workflow(branches())).await;
    new.params = serde_json::from_value(json!({ "engine": "local" })).unwrap();
    let mut run = engine.create_run(new).await.unwrap();
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    let detail = detail(&place, run.run_id()).await;
    let of = |task: &str| {
        let row = detail.task_runs.iter().find(|row| row.key.task.as_str() == task).unwrap();
        (row.state, row.cause)
    };
    assert_eq!(of("spark"), (FinalState::Skipped, Cause::When));
    assert_eq!(of("local"), (FinalState::Succeeded, Cause::Task));
    assert_eq!(of("after_spark"), (FinalState::Skipped, Cause::UpstreamSkipped));
    assert_eq!(of("join"), (FinalState::Succeeded, Cause::Task));
    assert_eq!(of("neither"), (FinalState::Skipped, Cause::UpstreamSkipped));
    let asked = detail.attempts.iter().find(|row| row.key.task.as_str() == "spark").unwrap();
    assert_eq!((asked.outcome, asked.cause, asked.started_at), (Outcome::Skipped, Cause::When, None));
    let words = "`when`: `params.engine == 'spark'` is false, where params.engine is \"local\"";
    assert_eq!(asked.message.as_deref(), Some(words));
    assert_eq!(bodies(run.run_id(), "spark"), Vec::<u32>::new());
    // It is in the log for good, and read from there.
    let history = place.reader.history(run.run_id(), 0).await.unwrap();
    let text = serde_json::to_string(&history.iter().flat_map(|entry| &entry.events).collect::<Vec<_>>()).unwrap();
    assert!(text.contains(r#""cause":"when""#), "{text}");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_without_an_answer_fails_its_task_for_good() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    for (when, message) in [
        ("{{ tasks.a.output.said }}", "`tasks.a.output.said` is null, neither true nor false"),
        ("{{ tasks.b.output.said == 1 }}", "`.output.said` has no value"),
        ("{{ params.gone }}", "has no value"),
        ("{{ 1 / 0 > 1 }}", "`when` of `t` has no answer"),
    ] {
        let tasks = json!([
            { "id": "a", "type": "act" },
            { "id": "b", "type": "act", "with": { "act": "skip" } },
            { "id": "t", "type": "act", "depends_on": ["a", "b"], "trigger_rule": "all_done", "when": when, "retry": {
                "limit": 2, "delay": "1ms", "backoff": "constant", "factor": 1.0, "max_delay": "1s", "jitter": 0.0 } },
        ]);
        let mut run = start(&engine, &place, workflow(tasks)).await;
        assert_eq!(state_of(&ended(&mut run).await), RunState::Failed);
        let detail = detail(&place, run.run_id()).await;
        assert_eq!(outcomes(&detail, "t"), [Outcome::Failed], "{when}");
        let attempt = detail.attempts.iter().find(|row| row.key.task.as_str() == "t").unwrap();
        assert_eq!((attempt.cause, attempt.class.as_deref()), (Cause::BadParameters, Some("BadCondition")), "{when}");
        assert!(attempt.message.as_deref().unwrap().contains(message), "{attempt:?}");
        assert_eq!(bodies(run.run_id(), "t"), Vec::<u32>::new());
    }
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_try_does_not_ask_again() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let tasks = json!([{ "id": "a", "type": "act", "with": { "act": "flaky" }, "when": "{{ task.try_no == 1 }}",
        "retry": { "limit": 2, "delay": "1ms", "backoff": "constant", "factor": 1.0, "max_delay": "1s", "jitter": 0.0 } }]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    assert_eq!(outcomes(&detail(&place, run.run_id()).await, "a"), [Outcome::Failed, Outcome::Succeeded]);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_read_params_and_outputs_of_upstream_tasks() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let tasks = json!([
        { "id": "a", "type": "act", "with": { "say": [1, 2] } },
        { "id": "b", "type": "act", "depends_on": ["a"],
          "with": { "say": { "list": "{{ tasks.a.output.said }}", "text": "{{ params.name }} on {{ ds }}" } } },
    ]);
    let mut new = crate::support::new_run(&*place.store, workflow(tasks)).await;
    new.params = serde_json::from_value(json!({ "name": "x" })).unwrap();
    let mut run = engine.create_run(new).await.unwrap();
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    let detail = detail(&place, run.run_id()).await;
    let output = detail.attempts.iter().find(|row| row.key.task.as_str() == "b").unwrap().output.clone().unwrap();
    let output: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(output["said"]["list"], json!([1, 2]));
    assert!(output["said"]["text"].as_str().unwrap().starts_with("x on 20"));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_sees_how_the_others_ended_and_which_may_fail() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let tasks = json!([
        { "id": "a", "type": "act", "with": { "act": "fail" }, "allow_failure": true },
        { "id": "b", "type": "act", "depends_on": ["a"] },
        { "id": "c", "type": "act" },
        { "id": "tell", "type": "act", "with": { "act": "siblings" }, "depends_on": ["b", "c"], "trigger_rule": "all_done" },
    ]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    let detail = detail(&place, run.run_id()).await;
    let told = detail.attempts.iter().find(|row| row.key.task.as_str() == "tell").and_then(|row| row.output.as_deref());
    assert_eq!(
        serde_json::from_str::<Value>(told.unwrap()).unwrap(),
        json!([["a", "failed", true], ["b", "upstream_failed", false], ["c", "succeeded", false]])
    );
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_without_a_value_fails_its_task_before_the_body_runs() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let tasks = json!([{ "id": "a", "type": "act", "with": { "say": "{{ params.missing }}" } }]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Failed);
    let attempt = &detail(&place, run.run_id()).await.attempts[0];
    assert_eq!(attempt.cause, Cause::BadParameters);
    assert!(attempt.message.as_deref().unwrap().contains("params.missing"), "{attempt:?}");
    assert!(bodies(run.run_id(), "a").is_empty());
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_waits_for_its_instant_and_then_succeeds() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let mut events = engine.subscribe();
    let tasks = json!([{ "id": "a", "type": "act", "with": { "act": "flaky" }, "retry": {
        "limit": 2, "delay": "50ms", "backoff": "constant", "factor": 2.0, "max_delay": "1s", "jitter": 0.0 } }]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    let due = until(&mut events, |event| matches!(event, EngineEvent::RetryScheduled { .. })).await;
    let began = until(&mut events, |event| matches!(event, EngineEvent::AttemptStarted { try_no: 2, .. })).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    let detail = detail(&place, run.run_id()).await;
    assert_eq!(outcomes(&detail, "a"), [Outcome::Failed, Outcome::Succeeded]);
    let EngineEvent::RetryScheduled { due_at, .. } = due else { panic!("{due:?} {began:?}") };
    assert!(detail.attempts[1].started_at.unwrap() >= due_at, "the second try began too early");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_stopped_at_its_time_limit_even_if_it_does_not_listen() {
    for act in ["hang", "stubborn"] {
        let place = memory();
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::start(config(&place, folder.path())).await.unwrap();
        let tasks = json!([{ "id": "a", "type": "act", "with": { "act": act }, "timeout": "20ms" }]);
        let mut run = start(&engine, &place, workflow(tasks)).await;
        assert_eq!(state_of(&ended(&mut run).await), RunState::Failed);
        assert_eq!(outcomes(&detail(&place, run.run_id()).await, "a"), [Outcome::TimedOut]);
        engine.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_ended_at_its_own_time_limit() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let tasks = json!([{ "id": "a", "type": "act", "with": { "act": "hang" } }, { "id": "b", "type": "act", "depends_on": ["a"] }]);
    let mut run = start(&engine, &place, with_keys(json!({ "tasks": tasks, "timeout": "50ms" }))).await;
    let end = ended(&mut run).await;
    assert_eq!(state_of(&end), RunState::Failed);
    let detail = detail(&place, run.run_id()).await;
    assert_eq!(detail.run.row.projection.cause, Some(Cause::RunTimeout));
    assert_eq!(final_state(&detail, "b"), Some(FinalState::Cancelled));
    engine.shutdown().await;
}
