//! What is read afterwards: `runs`, `tasks`, `logs`.

use insta::{assert_json_snapshot, assert_snapshot};
use updraft_testkit::process::Program;

use crate::cli_support::{CHAIN, MIXED, Place};

fn with_two_runs() -> Place {
    let place = Place::new(&[("chain.yaml", CHAIN), ("mixed.yaml", MIXED)]);
    assert_eq!(place.updraft(&["run", "chain.yaml"]).code(), Some(0));
    assert_eq!(place.updraft(&["run", "mixed.yaml"]).code(), Some(1));
    place
}

#[test]
fn runs_and_their_tasks_can_be_read_afterwards() {
    let place = with_two_runs();
    let all = [
        vec!["runs"],
        vec!["runs", "list", "--workflow", "chain", "-n", "1"],
        vec!["runs", "--state", "cancelled"],
        vec!["runs", "show", "latest"],
        vec!["tasks", "latest"],
        vec!["logs", "latest"],
        vec!["logs", "latest", "fails"],
        vec!["logs", "latest", "after_failure"],
        vec!["logs", "latest", "nothing"],
    ]
    .map(|arguments| place.transcript(&arguments))
    .join("\n");
    place.tables().bind(|| assert_snapshot!(all));
}

#[test]
fn a_run_has_names_of_several_kinds() {
    let place = with_two_runs();
    let runs = place.json(&["runs", "--json"]);
    let (newest, older) = (&runs["items"][0], &runs["items"][1]);
    assert_eq!((newest["workflow"].as_str(), older["workflow"].as_str()), (Some("mixed"), Some("chain")));
    let id = older["id"].as_str().unwrap();
    assert_eq!(place.json(&["runs", "show", id, "--json"])["id"], older["id"]);
    assert_eq!(place.json(&["runs", "show", "latest", "--json"])["id"], newest["id"]);
    let first = place.json(&["runs", "-n", "1", "--json"]);
    assert_eq!(first["items"], serde_json::json!([newest]));
    let cursor = first["next"].as_str().unwrap();
    assert_eq!(place.json(&["runs", "-n", "1", "--cursor", cursor, "--json"])["items"][0], *older);
    let filtered = |arguments: &[&str]| {
        let page = place.json(&[&["runs", "--json"], arguments].concat());
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["workflow"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(filtered(&["--state", "failed,running"]), ["mixed"]);
    assert_eq!(filtered(&["--sort", "created_at"]), ["chain", "mixed"]);
    assert_eq!(filtered(&["--since", "1h"]), ["mixed", "chain"]);
    assert!(filtered(&["--until", "2020-01-01"]).is_empty());
    assert_eq!(filtered(&["--search", "hai"]), ["chain"]);
    assert!(filtered(&["--trigger", "schedule"]).is_empty());
    // Both ids begin with the same instant: the part behind it tells them apart.
    assert_eq!(place.json(&["runs", "show", &id[..35], "--json"])["id"], older["id"]);
    assert_eq!(place.json(&["runs", "show", &id.to_uppercase(), "--json"])["id"], older["id"]);
    let all = [
        vec!["runs", "show", "00000000-0000-0000-0000-000000000000"],
        vec!["runs", "show", "abcd"],
        vec!["runs", "show", "newest"],
        vec!["cancel", "00000000-0000-0000-0000-000000000000"],
        vec!["cancel", "latest"],
        vec!["run", "--resume"],
        vec!["run", "--resume", "latest"],
    ]
    .map(|arguments| place.transcript(&arguments))
    .join("\n");
    place.settings().bind(|| assert_snapshot!(all));
}

#[test]
fn a_runs_events_can_be_listed() {
    let place = Place::new(&[("one.yaml", "id: one\ntasks: [{id: only, type: noop}]\n")]);
    assert_eq!(place.updraft(&["run", "one.yaml"]).code(), Some(0));
    let history = place.json(&["runs", "show", "latest", "--events", "--json"]);
    let kinds: Vec<Vec<&str>> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["events"].as_array().unwrap().iter().map(|event| event["k"].as_str().unwrap()).collect())
        .collect();
    assert_eq!(
        kinds,
        [vec!["run_created", "run_started", "task_dispatched"], vec!["attempt_ended", "task_finished", "run_finished"]]
    );
}

#[test]
fn nothing_to_read_is_said() {
    let place = Place::new(&[]);
    let all = [
        vec!["runs"],
        vec!["runs", "show", "latest"],
        vec!["tasks", "latest"],
        vec!["logs", "latest"],
        vec!["cancel", "latest"],
    ]
    .map(|arguments| {
        let finished = place.updraft(&arguments);
        assert_eq!(finished.code(), Some(2), "{arguments:?}");
        crate::cli_support::transcript(&arguments, &finished)
    })
    .join("\n");
    place.settings().bind(|| assert_snapshot!(all));
}

#[test]
fn a_task_type_describes_itself() {
    let place = Place::new(&[]);
    assert_snapshot!("task_type_command", place.transcript(&["tasks", "--types", "command"]));
    assert_snapshot!("task_type_unknown", place.updraft(&["tasks", "--types", "comand"]).err.lines().next().unwrap());
    let quality = place.updraft(&["tasks", "--types", "quality.check"]).out;
    for inner in [
        "| `rules[].check: not_null` |",
        "| `rules[].columns` | list of string | required |",
        "`not_null`, `unique`. |",
    ] {
        assert!(quality.contains(inner), "fields inside lists are told: {inner}\n{quality}");
    }
    let types = place.json(&["tasks", "--types", "noop", "--json"]);
    assert_json_snapshot!("task_type_noop", types);
    let listed = place.updraft(&["tasks", "--types"]);
    assert_eq!(listed.code(), Some(0));
    assert!(listed.out.lines().next().unwrap().starts_with("TYPE"), "{}", listed.out);
}

#[test]
fn colour_is_for_terminals_and_those_who_force_it_and_never_against_no_color() {
    let place = with_two_runs();
    for (variables, coloured) in [
        (vec![], false),
        (vec![("CLICOLOR_FORCE", "1")], true),
        (vec![("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
    ] {
        let mut program =
            Program::of_workspace("updraft").unwrap().args(["runs", "show", "latest"]).folder(place.path(""));
        for (name, value) in &variables {
            program = program.env(name, value);
        }
        let finished = program.run().unwrap();
        assert_eq!(finished.out.contains('\u{1b}'), coloured, "{variables:?}: {}", finished.out);
    }
}
