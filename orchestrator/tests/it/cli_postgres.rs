//! The same commands on PostgreSQL, where any number of processes look at one run.

use updraft_testkit::postgres::fresh_database;
use updraft_testkit::process::{PATIENCE, Stream};

use crate::cli_support::{CHAIN, Place, WAITS};

#[test]
fn on_postgresql_runs_go_side_by_side_and_are_read_and_cancelled_by_others() {
    let Some(database) = fresh_database().unwrap() else { return };
    let place = Place::new(&[("waits.yaml", WAITS), ("chain.yaml", CHAIN)]);
    let on = ["--store", database.url()];
    let with = |arguments: &[&'static str]| [arguments, &on].concat();
    let missing = place.updraft(&with(&["runs"]));
    assert!(missing.code().is_some_and(|code| code != 0), "{}", missing.out);

    let running = place.start(&with(&["run", "waits.yaml"]));
    running.wait_for_line(Stream::Err, |line| line.contains("waiting running")).unwrap();
    let waiting = place.json(&with(&["runs", "--json"]))["items"][0].clone();
    assert_eq!(waiting["state"], "running");
    let beside = place.updraft(&with(&["run", "chain.yaml"]));
    assert_eq!(beside.code(), Some(0), "{}", beside.err);
    let id = waiting["id"].as_str().unwrap();
    let held = place.updraft(&["run", "--resume", id, "--store", database.url()]);
    assert_eq!(held.code(), Some(3), "{}", held.err);
    let cancelled = place.updraft(&["cancel", id, "--store", database.url()]);
    assert_eq!(cancelled.code(), Some(0), "{}", cancelled.err);
    let finished = running.wait(PATIENCE).unwrap();
    assert_eq!(finished.code(), Some(4), "{}", finished.err);
    assert!(!place.path(".updraft/updraft.db").exists(), "a run on PostgreSQL made a file");
}

#[test]
fn on_postgresql_a_killed_run_is_resumed_where_it_was() {
    let Some(database) = fresh_database().unwrap() else { return };
    let place = Place::new(&[("waits.yaml", WAITS)]);
    let running = place.start(&["run", "waits.yaml", "--store", database.url()]);
    running.wait_for_line(Stream::Err, |line| line.contains("waiting running")).unwrap();
    running.kill().unwrap();
    place.write("go", "");
    let resumed = place.updraft(&["run", "--resume", "--json", "--store", database.url()]);
    assert_eq!(resumed.code(), Some(0), "{}", resumed.err);
    let document = place.json(&["tasks", "latest", "--json", "--store", database.url()]);
    let tasks = document["items"].as_array().unwrap();
    let attempts: Vec<_> = tasks.iter().map(|task| task["attempts"].as_array().unwrap().len()).collect();
    assert_eq!(attempts, [1, 2, 1], "{document}");
}
