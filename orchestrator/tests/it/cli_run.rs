//! `run`: progress, summary, the JSON document, params, a part of the tasks.

use insta::{assert_json_snapshot, assert_snapshot};
use serde_json::{Value, json};

use crate::cli_support::{BRANCHES, CHAIN, MIXED, Place};

const AT: &str = "2026-01-31T09:30:00Z";

/// Replaces what differs from run to run, and says so if it is not of the right form.
fn steady(mut run: Value) -> Value {
    let texts = [("id", 36), ("created_at", 24), ("started_at", 24), ("ended_at", 24), ("run_key", 36), ("queue", 40)];
    for (field, wanted) in texts {
        assert_eq!(run[field].as_str().map(str::len), Some(wanted), "{field}: {run}");
        run[field] = json!(format!("[{field}]"));
    }
    for field in ["seconds", "wait_seconds"] {
        assert!(run[field].is_f64(), "{field}: {run}");
        run[field] = json!(format!("[{field}]"));
    }
    let sentence = run["sentence"].as_str().unwrap();
    let (before, after) = sentence.split_once(" after ").unwrap();
    let (_, after) = after.split_once(" at ").unwrap();
    run["sentence"] = json!(format!("{before} after [seconds] at {after}"));
    run
}

#[test]
fn a_run_shows_its_progress_and_what_came_of_it() {
    let place = Place::new(&[("chain.yaml", CHAIN)]);
    place.tables().bind(|| assert_snapshot!(place.transcript(&["run", "chain.yaml", "--logical-date", AT])));
}

#[test]
fn a_run_that_fails_says_why() {
    let place = Place::new(&[("mixed.yaml", MIXED)]);
    place.tables().bind(|| assert_snapshot!(place.transcript(&["run", "mixed.yaml"])));
}

#[test]
fn with_json_standard_output_is_the_document_alone() {
    let place = Place::new(&[("mixed.yaml", MIXED)]);
    let finished = place.updraft(&["run", "mixed.yaml", "--json", "--logical-date", AT]);
    assert_eq!(finished.code(), Some(1));
    assert!(finished.err.contains("fails running"), "no progress on standard error: {}", finished.err);
    let document: Value = serde_json::from_str(&finished.out).unwrap();
    assert_eq!(document, place.json(&["runs", "show", "latest", "--json"]));
    assert_json_snapshot!(steady(document));
}

#[test]
fn a_retried_task_tells_its_tries_and_its_last_error() {
    let flaky = "\
id: flaky
tasks:
  - id: flaky
    type: command
    with: {argv: \"echo try {{ task.try_no }}; [ {{ task.try_no }} = 3 ]\", shell: true}
    retry: {limit: 2, delay: 10ms, jitter: 0}
";
    let place = Place::new(&[("flaky.yaml", flaky)]);
    place.tables().bind(|| assert_snapshot!(place.transcript(&["run", "flaky.yaml"])));
    let document = place.json(&["tasks", "latest", "--json"]);
    assert_eq!(document["items"][0]["attempts"].as_array().map(Vec::len), Some(3));
    let logs = [
        vec!["logs", "latest"],
        vec!["logs", "latest", "flaky", "--attempt", "1"],
        vec!["logs", "latest", "flaky", "-a", "9"],
    ]
    .map(|arguments| place.transcript(&arguments))
    .join("\n");
    place.settings().bind(|| assert_snapshot!("logs_of_a_retried_task", logs));
}

#[test]
fn a_condition_skips_its_task_and_the_run_says_of_what() {
    let place = Place::new(&[("branches.yaml", BRANCHES)]);
    // Both branches are asked at one time: only what is told afterwards has one order.
    let finished = place.updraft(&["run", "branches.yaml"]);
    assert_eq!(finished.code(), Some(0));
    assert!(finished.err.contains("spark skipped"), "{}", finished.err);
    place.tables().bind(|| assert_snapshot!(place.transcript(&["runs", "show", "latest"])));
    let document = place.json(&["tasks", "latest", "--json"]);
    let told: Vec<Value> = document["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| json!([task["task"], task["state"], task["cause"], task["cause_words"]]))
        .collect();
    assert_json_snapshot!("conditions_as_told", told);
    place.settings().bind(|| assert_snapshot!("log_of_a_condition", place.transcript(&["logs", "latest", "spark"])));
    let run = place.json(&["run", "branches.yaml", "-p", "engine=spark", "--json"]);
    assert_eq!(run["state"], "succeeded");
    let document = place.json(&["tasks", "latest", "--json"]);
    let states: Vec<&str> =
        document["items"].as_array().unwrap().iter().filter_map(|task| task["state"].as_str()).collect();
    assert_eq!(states, ["succeeded", "skipped", "succeeded", "succeeded", "succeeded"]);
}

#[test]
fn task_runs_that_task_and_its_upstreams_alone() {
    let place = Place::new(&[("chain.yaml", CHAIN)]);
    let run = place.json(&["run", "chain.yaml", "--task", "greet", "-p", "name=you", "--json"]);
    assert_eq!((&run["state"], &run["params"]["name"]), (&"succeeded".into(), &"you".into()));
    let tasks = place.json(&["tasks", "latest", "--json"]);
    let ids: Vec<&str> = tasks["items"].as_array().unwrap().iter().map(|task| task["task"].as_str().unwrap()).collect();
    assert_eq!(ids, ["start", "greet"]);
    let greet = place.json(&["tasks", "latest", "greet", "--json"]);
    assert_eq!(greet["output"]["stdout_tail"], "hello you");
    place.settings().bind(|| assert_snapshot!(place.transcript(&["run", "chain.yaml", "--task", "great"])));
}

#[test]
fn params_that_do_not_fit_are_told_all_at_once() {
    let params = "\
id: params
params:
  regions: [europe]
  limit: {type: integer, minimum: 1, default: 3}
  day: {type: string}
tasks:
  - {id: a, type: noop}
";
    let place = Place::new(&[("params.yaml", params)]);
    let all = [
        vec!["run", "params.yaml"],
        vec!["run", "params.yaml", "-p", "regions=europe", "-p", "limit=0", "-p", "dya=1"],
        vec!["run", "params.yaml", "-p", "day"],
    ]
    .map(|arguments| {
        let finished = place.updraft(&arguments);
        assert_eq!((finished.code(), finished.out.as_str()), (Some(2), ""), "{arguments:?}");
        crate::cli_support::transcript(&arguments, &finished)
    })
    .join("\n");
    assert_snapshot!(all);
    assert!(!place.path(".updraft").exists(), "a refused run made a store");
    assert_eq!(
        place.updraft(&["run", "params.yaml", "-p", "day=2026-01-31", "-p", "regions=[\"asia\"]"]).code(),
        Some(0)
    );
}

#[test]
fn a_logical_date_takes_its_interval_from_the_schedule() {
    let text = format!("schedule: \"0 * * * *\"\n{CHAIN}");
    let place = Place::new(&[("hourly.yaml", &text)]);
    for (at, start, end, warned) in [
        ("2026-01-31T09:00:00Z", "2026-01-31T09:00:00Z", "2026-01-31T10:00:00Z", false),
        ("2026-01-31", "2026-01-31T00:00:00Z", "2026-01-31T01:00:00Z", false),
        (AT, "2026-01-31T09:30:00Z", "2026-01-31T09:30:00Z", true),
    ] {
        let finished = place.updraft(&["run", "hourly.yaml", "--json", "--logical-date", at]);
        let document: Value = serde_json::from_str(&finished.out).unwrap();
        let millis = |at: &str| at.replace('Z', ".000Z");
        assert_eq!(document["data_interval"], json!({ "start": millis(start), "end": millis(end) }), "{at}");
        assert_eq!(document["logical_date"], millis(start), "{at}");
        assert_eq!(finished.err.contains("does not fire at"), warned, "{}", finished.err);
    }
    let run = place.json(&["run", "hourly.yaml", "--json"]);
    assert_eq!(run["data_interval"], json!({ "start": run["logical_date"], "end": run["logical_date"] }));
}
