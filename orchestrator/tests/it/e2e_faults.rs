//! Every failure switch of the stand-in, and what the run then says: exit code, states, error, how often the API was asked.
//! `docs/verification.md` holds the same as a table.

use std::time::Duration;

use updraft_testkit::opensky::{Fault, Options, Standin};

use crate::e2e_support::{Project, Ran, STATES, demo_recording, standin, tell, wait_until};

const TOKEN: &str = "/auth/realms/opensky-network/protocol/openid-connect/token";
const NORTH_AMERICA: [&str; 2] = ["-p", "regions=[\"north_america\"]"];
/// Everything before the marts.
const UNTIL_LOADED: [&str; 6] =
    ["--task", "publish_states", "--task", "data_quality_check", "--task", "load_processed"];
const AFTER_COLLECT: [&str; 7] = [
    "split_and_validate",
    "publish_states",
    "data_quality_check",
    "load_processed",
    "dbt_run_models",
    "dbt_test_models",
    "update_flight_metrics",
];

/// How `collect_flight_data` ends and what is asked for, when a fault lasts so many calls.
struct Case {
    fault: Fault,
    calls: u32,
    ends: Ends,
    attempts: u64,
    asked: usize,
    tokens: usize,
}

/// An end of `collect_flight_data`.
enum Ends {
    /// It succeeds: the run goes on.
    Well,
    /// Class and a part of the message.
    Failed(&'static str, &'static str),
    /// A part of the reason.
    Skipped(&'static str),
}

const fn case(fault: Fault, calls: u32, ends: Ends, attempts: u64, asked: usize, tokens: usize) -> Case {
    Case { fault, calls, ends, attempts, asked, tokens }
}

const CASES: [Case; 17] = [
    // The token is renewed once inside the attempt.
    case(Fault::Unauthorized, 1, Ends::Well, 1, 2, 2),
    case(
        Fault::Unauthorized,
        2,
        Ends::Failed("Auth", "401 with a fresh token: this account may not call the API"),
        1,
        2,
        2,
    ),
    case(
        Fault::TokenUnauthorized,
        1,
        Ends::Failed("Auth", "401 Unauthorized: wrong client_id or client_secret"),
        1,
        0,
        1,
    ),
    case(Fault::TooManyRequests, 1, Ends::Skipped("(22688 s), which is kept as a hold"), 1, 1, 1),
    case(Fault::TooManyRequestsShort, 1, Ends::Skipped("(2 s), which is kept as a hold"), 1, 1, 1),
    case(Fault::BadGateway, 1, Ends::Well, 2, 2, 1),
    case(Fault::BadGateway, 4, Ends::Failed("Upstream5xx", "502 Bad Gateway"), 4, 4, 1),
    case(Fault::ServiceUnavailable, 1, Ends::Well, 2, 2, 1),
    case(Fault::ServiceUnavailable, 4, Ends::Failed("Upstream5xx", "503 Service Unavailable"), 4, 4, 1),
    case(Fault::Slow, 1, Ends::Well, 2, 2, 1),
    case(Fault::Slow, 4, Ends::Failed("Timeout", "stopped after its time limit of 3s"), 4, 4, 1),
    case(Fault::Broken, 1, Ends::Well, 2, 2, 1),
    case(Fault::Broken, 4, Ends::Failed("BrokenBody", "the bytes lie at raw-data/flights/states/"), 4, 4, 1),
    case(Fault::Html, 1, Ends::Well, 2, 2, 1),
    case(
        Fault::Html,
        4,
        Ends::Failed("BrokenBody", "Content-Type `text/html` instead of JSON; the bytes lie at"),
        4,
        4,
        1,
    ),
    case(Fault::Drop, 1, Ends::Well, 2, 2, 1),
    case(Fault::Drop, 4, Ends::Failed("Network", "end of file before message length reached"), 4, 4, 1),
];

/// A project that waits as little as possible: between tries, and, if `slow`, for an answer.
fn project(standin: &Standin, slow: bool) -> Project {
    let project = Project::new(standin);
    project.edit_workflow("delay: 5s, max_delay: 60s", "delay: 10ms, max_delay: 20ms");
    if slow {
        project.edit_workflow("timeout: 40s", "timeout: 3s");
    }
    project
}

#[test]
fn a_fault_of_the_call_is_retried_skipped_or_told_by_its_class() {
    for case in &CASES {
        let what = format!("{} x {}", case.fault, case.calls);
        let standin = standin(demo_recording());
        standin.fail(case.fault, case.calls);
        let project = project(&standin, case.fault == Fault::Slow);
        let well = matches!(case.ends, Ends::Well);
        let arguments = if well { [&NORTH_AMERICA[..], &UNTIL_LOADED].concat() } else { NORTH_AMERICA.to_vec() };
        let ran = project.run(&arguments);
        tell(&format!("{what}: exit {:?}: {}", ran.finished.code(), ran.task("collect_flight_data")["error"]));
        let states = ran.states();
        let after: Vec<&str> = AFTER_COLLECT.iter().filter_map(|task| states.get(task).copied()).collect();
        let collect = ran.task("collect_flight_data");
        let message = collect["error"]["message"].as_str().unwrap_or_default();
        match case.ends {
            Ends::Well => {
                assert_eq!(ran.finished.code(), Some(0), "{what}: {}", ran.finished.err);
                assert_eq!((states["collect_flight_data"], after), ("succeeded", vec!["succeeded"; 4]), "{what}");
                assert_eq!(ran.task("split_and_validate")["output"]["accepted"], 509, "{what}");
            }
            Ends::Failed(class, part) => {
                assert_eq!(ran.finished.code(), Some(1), "{what}: {}", ran.finished.err);
                assert_eq!((states["collect_flight_data"], after), ("failed", vec!["upstream_failed"; 7]), "{what}");
                assert_eq!(collect["error"]["class"], class, "{what}");
                assert!(message.contains(part), "{what}: {message}");
            }
            Ends::Skipped(part) => {
                assert_eq!(ran.finished.code(), Some(0), "{what}: {}", ran.finished.err);
                assert_eq!((states["collect_flight_data"], after), ("skipped", vec!["skipped"; 7]), "{what}");
                assert_eq!(collect["error"]["class"], "skipped", "{what}");
                assert!(message.contains(part), "{what}: {message}");
            }
        }
        assert!(well || states["notify_pipeline_completion"] == "succeeded", "{what}: somebody is told");
        assert_eq!(collect["attempts"], case.attempts, "{what}");
        let ledger = standin.ledger();
        assert_eq!((ledger.count(STATES), ledger.count(TOKEN)), (case.asked, case.tokens), "{what}");
    }
}

#[test]
fn a_429_is_a_hold_that_later_runs_keep_until_it_is_over() {
    let standin = standin(demo_recording());
    let project = project(&standin, false);
    let only_collect = [&NORTH_AMERICA[..], &["--task", "collect_flight_data"]].concat();
    standin.fail(Fault::TooManyRequestsShort, 1);
    assert_eq!(project.run(&only_collect).ended_with(0).states()["collect_flight_data"], "skipped");
    wait_until("the hold of 2 s is over", || {
        project.run(&only_collect).ended_with(0).states()["collect_flight_data"] == "succeeded"
    });

    standin.fail(Fault::TooManyRequests, 1);
    assert_eq!(project.run(&only_collect).ended_with(0).states()["collect_flight_data"], "skipped");
    let asked = standin.ledger().count(STATES);
    let held = project.run(&NORTH_AMERICA).ended_with(0);
    let plan = held.task("plan_collection");
    assert_eq!((&plan["state"], &plan["error"]["class"]), (&"skipped".into(), &"skipped".into()));
    let reason = plan["error"]["message"].as_str().unwrap();
    assert!(reason.contains("a 429 said so") && reason.contains("nothing was asked for"), "{reason}");
    assert_eq!(standin.ledger().count(STATES), asked, "nothing is asked during a hold");
}

#[test]
fn a_fault_inside_the_answer_is_counted_and_judged() {
    // null: nothing to judge but the number of states.
    let ran = with_fault(Fault::NoStates, &UNTIL_LOADED).ended_with(0);
    assert_eq!(ran.task("split_and_validate")["output"]["received"], 0);
    assert_eq!(ran.task("publish_states")["output"]["sent"], 0);
    assert_eq!(ran.task("load_processed")["output"]["inserted"], 0);
    let quality = &ran.task("data_quality_check")["output"];
    assert!(quality.to_string().contains("states_received"), "the missing states are told: {quality}");

    // short: every tenth row is cut; more than 5 % refused rows stop the marts, not the publishing.
    let ran = with_fault(Fault::ShortRows, &[]).ended_with(1);
    let validated = &ran.task("split_and_validate")["output"];
    assert_eq!((&validated["rejected"]["shape"], &validated["accepted"]), (&51.into(), &458.into()));
    let quality = ran.task("data_quality_check");
    assert_eq!((&quality["state"], &quality["error"]["class"]), (&"failed".into(), &"QualityFailed".into()));
    let message = quality["error"]["message"].as_str().unwrap();
    assert!(message.contains("all/rejected_rows failed: observed 0.100196, limit 0.05"), "{message}");
    assert_eq!(ran.task("publish_states")["output"]["sent"], 458);
    let states = ran.states();
    assert_eq!((states["dbt_run_models"], states["notify_pipeline_completion"]), ("upstream_failed", "succeeded"));

    // dup: one aircraft twice in one answer stops the marts.
    let ran = with_fault(Fault::DuplicateRow, &[]).ended_with(1);
    assert_eq!(ran.task("split_and_validate")["output"]["accepted"], 510);
    let message = ran.task("data_quality_check")["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("one_state_per_aircraft(icao24) failed"), "{message}");
    assert_eq!(ran.states()["dbt_run_models"], "upstream_failed");

    // future: one row of 509 is refused and kept aside.
    let ran = with_fault(Fault::FutureContact, &UNTIL_LOADED).ended_with(0);
    let validated = &ran.task("split_and_validate")["output"];
    assert_eq!((&validated["rejected"]["future"], &validated["accepted"]), (&1.into(), &508.into()));
    assert_eq!(validated["quarantine"]["objects"]["future"].as_array().map(Vec::len), Some(1));
}

fn with_fault(fault: Fault, tasks: &[&str]) -> Ran {
    let standin = standin(demo_recording());
    standin.fail(fault, 1);
    project(&standin, false).run(&[&NORTH_AMERICA[..], tasks].concat())
}

#[test]
fn an_answer_later_than_30_s_is_given_up_and_asked_for_again() {
    let slow = Duration::from_secs(45);
    let options = Options { play: vec![demo_recording()], still: true, slow, ..Options::default() };
    let standin = Standin::start(&options).unwrap();
    standin.fail(Fault::Slow, 1);
    let only_collect = [&NORTH_AMERICA[..], &["--task", "collect_flight_data"]].concat();
    let ran = project(&standin, false).run(&only_collect).ended_with(0);
    assert_eq!(ran.task("collect_flight_data")["attempts"], 2);
    let told = ran.finished.err.lines().find(|line| line.contains("try 2 at")).unwrap();
    assert!(told.contains("Timeout: "), "{told}");
    tell(told);
}
