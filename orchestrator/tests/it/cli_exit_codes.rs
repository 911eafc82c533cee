//! Exit codes 0, 1, 2, 3, 4 and 130, each from the outside, and what a second process sees of a run under way.

use insta::assert_snapshot;
use nix::sys::signal::Signal;
use serde_json::Value;
use updraft_testkit::process::{PATIENCE, Running, Stream};

use crate::cli_support::{CHAIN, MIXED, Place, WAITS, transcript};

/// A run whose middle task is under way.
fn waiting(place: &Place, arguments: &[&str]) -> Running {
    let running = place.start(arguments);
    running.wait_for_line(Stream::Err, |line| line.contains("waiting running")).unwrap();
    running
}

fn states(document: &Value) -> Vec<&str> {
    document["items"].as_array().unwrap().iter().map(|task| task["state"].as_str().unwrap()).collect()
}

/// How many attempts each task run had.
fn attempts(document: &Value) -> Vec<usize> {
    document["items"].as_array().unwrap().iter().map(|task| task["attempts"].as_array().unwrap().len()).collect()
}

#[test]
fn zero_and_one_are_the_runs_outcome_and_two_is_bad_input() {
    let place = Place::new(&[("chain.yaml", CHAIN), ("mixed.yaml", MIXED), ("bad.yaml", "id: bad\ntasks: []\n")]);
    assert_eq!(place.updraft(&["run", "chain.yaml"]).code(), Some(0));
    assert_eq!(place.updraft(&["run", "mixed.yaml"]).code(), Some(1));
    for arguments in [vec!["runs"], vec!["tasks", "latest"], vec!["logs", "latest"], vec!["runs", "show", "latest"]] {
        assert_eq!(place.updraft(&arguments).code(), Some(0), "{arguments:?} of a failed run");
    }
    for arguments in [vec!["run", "bad.yaml"], vec!["run", "nowhere.yaml"], vec!["check", "bad.yaml"]] {
        let finished = place.updraft(&arguments);
        assert_eq!((finished.code(), finished.err.is_empty()), (Some(2), false), "{arguments:?}");
    }
}

#[test]
fn a_service_that_does_not_answer_is_three_in_doctor() {
    let project =
        "profiles:\n  embedded:\n    connections:\n      api: {kind: http, base_url: 'http://127.0.0.1:1/api'}\n";
    let place = Place::new(&[("updraft.yaml", project)]);
    let finished = place.updraft(&["doctor"]);
    assert_eq!(finished.code(), Some(3), "{}{}", finished.out, finished.err);
    assert!(finished.out.contains("http cannot be reached: 127.0.0.1:1"), "{}", finished.out);
}

#[test]
fn a_store_that_cannot_be_reached_is_three() {
    let place = Place::new(&[("chain.yaml", CHAIN)]);
    let url = "postgres://ada:secret@127.0.0.1:1/updraft";
    for arguments in
        [vec!["run", "chain.yaml", "--store", url], vec!["runs", "--store", url], vec!["doctor", "--store", url]]
    {
        let finished = place.updraft(&arguments);
        assert_eq!(finished.code(), Some(3), "{arguments:?}\n{}{}", finished.out, finished.err);
        assert!(!finished.out.contains("secret") && !finished.err.contains("secret"), "{}", finished.err);
    }
    place.settings().bind(|| {
        assert_snapshot!(place.transcript(&["run", "chain.yaml", "--store", "postgres://127.0.0.1:1/updraft"]));
    });
}

#[test]
fn a_second_run_on_a_held_file_is_three_and_others_read_through_the_socket() {
    let place = Place::new(&[("waits.yaml", WAITS), ("chain.yaml", CHAIN)]);
    let running = waiting(&place, &["run", "waits.yaml", "--json"]);
    let second = place.updraft(&["run", "chain.yaml"]);
    assert_eq!(second.code(), Some(3));
    assert!(second.err.contains(&format!("process {}", running.pid())), "{}", second.err);
    place.settings().bind(|| assert_snapshot!("a_held_file", transcript(&["run", "chain.yaml"], &second)));

    assert_eq!(states(&place.json(&["tasks", "latest", "--json"])), ["succeeded", "running", "waiting"]);
    assert_eq!(place.json(&["runs", "--json"])["items"][0]["state"], "running");
    let follower = place.start(&["logs", "latest", "waiting", "-f"]);
    follower.wait_for_line(Stream::Out, |line| line.ends_with("here")).unwrap();
    place.write("go", "");
    let finished = running.wait(PATIENCE).unwrap();
    assert_eq!(finished.code(), Some(0), "{}", finished.err);
    let document: Value = serde_json::from_str(&finished.out).unwrap();
    assert_eq!(document["state"], "succeeded");
    assert_eq!(states(&place.json(&["tasks", "latest", "--json"])), ["succeeded", "succeeded", "succeeded"]);
    let followed = follower.wait(PATIENCE).unwrap();
    assert_eq!(followed.code(), Some(0), "{}", followed.err);
    assert!(followed.out.lines().last().unwrap().ends_with("went"), "{}", followed.out);
    let left = std::fs::read_dir(place.path(".updraft")).unwrap().flatten();
    let left: Vec<_> = left.filter(|entry| entry.path().extension().is_some_and(|end| end == "sock")).collect();
    assert!(left.is_empty(), "the socket outlives the run: {left:?}");
}

#[test]
fn a_run_cancelled_by_another_process_is_four() {
    let place = Place::new(&[("waits.yaml", WAITS)]);
    let running = waiting(&place, &["run", "waits.yaml"]);
    let cancel = ["cancel", "latest", "--reason", "too late"];
    let asked = place.updraft(&cancel);
    assert_eq!(asked.code(), Some(0), "{}", asked.err);
    // It says how the run stands when it is asked: the other process may have been quicker.
    assert!(["is cancelling\n", "is cancelled\n"].iter().any(|end| asked.out.ends_with(end)), "{}", asked.out);
    let finished = running.wait(PATIENCE).unwrap();
    assert_eq!(finished.code(), Some(4), "{}", finished.err);
    place.tables().bind(|| assert_snapshot!(transcript(&["run", "waits.yaml"], &finished)));
    assert_eq!(states(&place.json(&["tasks", "latest", "--json"])), ["succeeded", "cancelled", "cancelled"]);
    let history = place.json(&["runs", "show", "latest", "--events", "--json"]).to_string();
    assert!(history.contains("too late") && history.contains("cli:ada"), "{history}");
}

#[test]
fn the_first_signal_lets_running_attempts_end_and_the_run_stays_open() {
    let place = Place::new(&[("waits.yaml", WAITS)]);
    let running = waiting(&place, &["run", "waits.yaml"]);
    running.signal(Signal::SIGINT).unwrap();
    running.wait_for_line(Stream::Err, |line| line.starts_with("stopping")).unwrap();
    place.write("go", "");
    let stopped = running.wait(PATIENCE).unwrap();
    assert_eq!(stopped.code(), Some(130), "{}", stopped.err);
    assert_eq!(states(&place.json(&["tasks", "latest", "--json"])), ["succeeded", "succeeded", "ready"]);
    let resumed = place.updraft(&["run", "--resume"]);
    assert_eq!(resumed.code(), Some(0), "{}", resumed.err);
    let both = [transcript(&["run", "waits.yaml"], &stopped), transcript(&["run", "--resume"], &resumed)].join("\n");
    place.tables().bind(|| assert_snapshot!(both));
    let document = place.json(&["tasks", "latest", "--json"]);
    assert_eq!(attempts(&document), [1, 1, 1], "what was accepted ran again");
}

#[test]
fn the_second_signal_kills_and_the_attempt_is_lost_without_a_try() {
    let place = Place::new(&[("waits.yaml", WAITS)]);
    let running = waiting(&place, &["run", "waits.yaml"]);
    running.signal(Signal::SIGTERM).unwrap();
    running.wait_for_line(Stream::Err, |line| line.starts_with("stopping")).unwrap();
    running.signal(Signal::SIGINT).unwrap();
    let stopped = running.wait(PATIENCE).unwrap();
    assert_eq!(stopped.code(), Some(130), "{}", stopped.err);
    place.write("go", "");
    let run = place.json(&["runs", "--json"])["items"][0]["id"].as_str().unwrap().to_owned();
    let resumed = place.updraft(&["run", "--resume", &run[..30]]);
    assert_eq!(resumed.code(), Some(0), "{}", resumed.err);
    let both =
        [transcript(&["run", "waits.yaml"], &stopped), transcript(&["run", "--resume", "RUN"], &resumed)].join("\n");
    place.tables().bind(|| assert_snapshot!(both));
    let document = place.json(&["tasks", "latest", "--json"]);
    assert_eq!(attempts(&document)[1], 2);
}

#[test]
fn max_active_runs_is_two_and_names_the_open_run() {
    let place = Place::new(&[("waits.yaml", &format!("max_active_runs: 1\n{WAITS}"))]);
    let running = waiting(&place, &["run", "waits.yaml"]);
    running.signal(Signal::SIGINT).unwrap();
    running.wait_for_line(Stream::Err, |line| line.starts_with("stopping")).unwrap();
    running.signal(Signal::SIGINT).unwrap();
    assert_eq!(running.wait(PATIENCE).unwrap().code(), Some(130));
    let refused = place.updraft(&["run", "waits.yaml"]);
    assert_eq!((refused.code(), refused.out.as_str()), (Some(2), ""));
    place.settings().bind(|| assert_snapshot!(transcript(&["run", "waits.yaml"], &refused)));
    let cancelled = place.updraft(&["cancel", "latest"]);
    assert_eq!(cancelled.code(), Some(0), "{}", cancelled.err);
    place.write("go", "");
    assert_eq!(place.updraft(&["run", "waits.yaml"]).code(), Some(0));
}

#[test]
fn resume_takes_no_file_and_none_of_what_is_pinned() {
    let place = Place::new(&[("chain.yaml", CHAIN)]);
    for more in
        [vec!["chain.yaml"], vec!["-p", "name=x"], vec!["--logical-date", "2026-01-31"], vec!["--task", "greet"]]
    {
        // `--resume` takes the next word as its run, so it stands last.
        let arguments: Vec<&str> = ["run"].into_iter().chain(more).chain(["--resume"]).collect();
        let finished = place.updraft(&arguments);
        assert_eq!((finished.code(), finished.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(finished.err.contains("cannot be used with"), "{arguments:?}: {}", finished.err);
    }
}
