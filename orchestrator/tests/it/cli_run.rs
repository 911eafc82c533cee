//! `run`: progress, summary, the JSON document, params, a part of the tasks.

use insta::{assert_json_snapshot, assert_snapshot};
use serde_json::{Value, json};

use crate::cli_support::{CHAIN, MIXED, Place};

const AT: &str = "2026-01-31T09:30:00Z";

/// Replaces what differs from run to run, and says so if it is not of the right form.
fn steady(mut document: Value) -> Value {
    let run = &mut document["run"];
    for (field, wanted) in [("id", 36), ("started_at", 24), ("ended_at", 24)] {
        assert_eq!(run[field].as_str().map(str::len), Some(wanted), "{field}: {run}");
        run[field] = json!(format!("[{field}]"));
    }
    for task in document["tasks"].as_array_mut().unwrap() {
        if task["seconds"].is_f64() {
            task["seconds"] = json!("[seconds]");
        }
    }
    document
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
    let fields: Vec<&String> = document["run"].as_object().unwrap().keys().collect();
    let of_task: Vec<&String> = document["tasks"][0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["id", "workflow", "state", "cause", "logical_date", "data_interval", "started_at", "ended_at"]);
    assert_eq!(of_task, ["id", "type", "state", "cause", "error", "attempts", "seconds", "output"]);
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
    let document = place.json(&["runs", "show", "latest", "--json"]);
    assert_eq!(document["tasks"][0]["attempts"], 3);
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
fn task_runs_that_task_and_its_upstreams_alone() {
    let place = Place::new(&[("chain.yaml", CHAIN)]);
    let document = place.json(&["run", "chain.yaml", "--task", "greet", "-p", "name=you", "--json"]);
    let ids: Vec<&str> =
        document["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["start", "greet"]);
    assert_eq!(document["run"]["state"], "succeeded");
    assert_eq!(document["tasks"][1]["output"]["stdout_tail"], "hello you");
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
        assert_eq!(document["run"]["data_interval"], json!({ "start": start, "end": end }), "{at}");
        assert_eq!(document["run"]["logical_date"], start, "{at}");
        assert_eq!(finished.err.contains("does not fire at"), warned, "{}", finished.err);
    }
    let document = place.json(&["run", "hourly.yaml", "--json"]);
    let run = &document["run"];
    assert_eq!(run["data_interval"], json!({ "start": run["logical_date"], "end": run["logical_date"] }));
}
