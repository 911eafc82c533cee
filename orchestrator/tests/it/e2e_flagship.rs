//! The flagship end to end, on both stores: the numbers that its data are known to have, in outputs and marts, and what a second
//! run of the same interval changes: nothing.

use serde_json::{Value, json};
use updraft_testkit::postgres;

use crate::e2e_support::{EUROPE, LOGICAL_DATE, Project, Ran, STATES, dbt_python, demo_recording, standin};

pub const TASKS: [&str; 10] = [
    "plan_collection",
    "collect_flight_data",
    "split_and_validate",
    "publish_states",
    "data_quality_check",
    "load_processed",
    "dbt_run_models",
    "dbt_test_models",
    "update_flight_metrics",
    "notify_pipeline_completion",
];
const FACTS: &str = "select count(*), count(*) filter (on_ground), count(*) filter (baro_altitude_m is null), \
    count(*) filter (squawk is null), count(*) filter (callsign is null), count(distinct origin_country), \
    count(*) filter (position_age_s > 15), count(*) filter (position_age_s > 60), count(*) filter (position_age_s > 300), \
    cast(round(avg(velocity_mps), 3) as double) from opensky.fact_flight_activity";

/// What a recording is known to hold (README of the shared data).
struct Known {
    states: u64,
    on_ground: u64,
    no_altitude: u64,
    no_squawk: u64,
    no_callsign: u64,
    countries: u64,
    older: [u64; 3],
    mean_velocity_mps: f64,
}

const KNOWN_EUROPE: Known = Known {
    states: 1_744,
    on_ground: 168,
    no_altitude: 163,
    no_squawk: 373,
    no_callsign: 16,
    countries: 65,
    older: [195, 131, 13],
    mean_velocity_mps: 161.180,
};
const KNOWN_NEW_YORK: Known = Known {
    states: 509,
    on_ground: 78,
    no_altitude: 79,
    no_squawk: 21,
    no_callsign: 9,
    countries: 9,
    older: [34, 0, 0],
    mean_velocity_mps: 121.858,
};

impl Known {
    #[track_caller]
    fn shows_in(&self, ran: &Ran) {
        let output = &ran.task("split_and_validate")["output"];
        let found = json!({
            "received": output["received"],
            "accepted": output["accepted"],
            "outside": output["outside"],
            "quarantined": output["quarantine"]["rows"],
            "on_ground": output["on_ground"],
            "no_altitude": output["nulls"]["baro_altitude_m"],
            "no_squawk": output["nulls"]["squawk"],
            "blank_callsign": output["blank_callsign"],
            "countries": output["countries"],
            "position_older": output["position_older"],
            "mean_velocity_mps": output["mean_velocity_mps"],
        });
        let [older_15, older_60, older_300] = self.older;
        let expected = json!({
            "received": self.states,
            "accepted": self.states,
            "outside": 0,
            "quarantined": 0,
            "on_ground": self.on_ground,
            "no_altitude": self.no_altitude,
            "no_squawk": self.no_squawk,
            "blank_callsign": self.no_callsign,
            "countries": self.countries,
            "position_older": {"15": older_15, "60": older_60, "300": older_300},
            "mean_velocity_mps": self.mean_velocity_mps,
        });
        assert_eq!(found, expected);
        assert_eq!(ran.task("publish_states")["output"]["sent"], self.states);
        assert_eq!(ran.task("load_processed")["output"]["inserted"], self.states);
    }

    #[track_caller]
    fn stand_in(&self, project: &Project, python: &std::path::Path) {
        let [older_15, older_60, older_300] = self.older;
        let row = json!([[
            self.states,
            self.on_ground,
            self.no_altitude,
            self.no_squawk,
            self.no_callsign,
            self.countries,
            older_15,
            older_60,
            older_300,
            self.mean_velocity_mps
        ]]);
        assert_eq!(project.marts(python, FACTS), row, "fact_flight_activity");
        let sums = project.marts(
            python,
            "select cast(sum(states) as bigint), cast(sum(grounded) as bigint), cast(sum(airborne) as bigint) \
             from opensky.agg_flight_statistics",
        );
        assert_eq!(sums, json!([[self.states, self.on_ground, self.states - self.on_ground]]), "agg_flight_statistics");
        let countries = project.marts(python, "select count(*) from opensky.dim_countries");
        assert_eq!(countries, json!([[self.countries]]), "dim_countries");
    }
}

#[track_caller]
fn all_succeeded_at_once(ran: &Ran) {
    let ids: Vec<&str> = ran.tasks().iter().map(|task| task["id"].as_str().unwrap()).collect();
    assert_eq!(ids, TASKS, "in file order");
    for task in ran.tasks() {
        assert_eq!((&task["state"], &task["attempts"]), (&json!("succeeded"), &json!(1)), "{task}");
    }
    assert_eq!(ran.document["run"]["state"], "succeeded");
}

/// What a run's document says but for which run it was, where and when.
fn timeless(project: &Project, mut document: Value) -> Value {
    let folder = project.folder().display().to_string();
    let run = document["run"]["id"].as_str().unwrap().to_owned();
    for field in ["id", "started_at", "ended_at"] {
        document["run"][field] = Value::Null;
    }
    forget(&mut document, &[&run, &folder]);
    document
}

/// Takes out how long things took, what a run calls its own and the order in which dbt's threads ended, at any depth.
fn forget(value: &mut Value, own: &[&str]) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                forget(value, own);
                match value {
                    Value::Number(_) if name == "seconds" || name == "elapsed_s" => *value = Value::Null,
                    Value::Array(nodes) if name == "nodes" => nodes.sort_by_key(|node| node["name"].to_string()),
                    _ => {}
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| forget(value, own)),
        Value::String(text) => own.iter().for_each(|word| *text = text.replace(word, "…")),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Where two documents differ, with both values.
fn differences(left: &Value, right: &Value) -> Vec<String> {
    fn walk(path: &str, left: &Value, right: &Value, found: &mut Vec<String>) {
        match (left, right) {
            (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
                a.iter().for_each(|(name, value)| walk(&format!("{path}/{name}"), value, &b[name], found));
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                let pairs = a.iter().zip(b).enumerate();
                pairs.for_each(|(index, (a, b))| walk(&format!("{path}/{index}"), a, b, found));
            }
            (a, b) if a == b => {}
            (a, b) => found.push(format!("{path}: {a}, {b}")),
        }
    }
    let mut found = Vec::new();
    walk("", left, right, &mut found);
    found
}

#[test]
fn europe_gives_its_known_numbers_on_both_stores_and_a_second_run_of_the_interval_changes_nothing() {
    let Some(recording) = updraft_testkit::shared_data_file(EUROPE) else { return };
    let Some(python) = dbt_python() else { return };
    let standin = standin(recording);
    let arguments = ["-p", "regions=[\"europe\"]", "--logical-date", LOGICAL_DATE];

    let project = Project::new(&standin);
    let first = project.run(&arguments).ended_with(0);
    all_succeeded_at_once(&first);
    KNOWN_EUROPE.shows_in(&first);
    KNOWN_EUROPE.stand_in(&project, &python);
    assert_eq!(first.task("collect_flight_data")["output"]["reused"], false);
    assert_eq!(standin.ledger().count(STATES), 1);
    let (lake, quality, marts) =
        (project.lake_but_quality(), project.quality_rows(&python), project.all_marts(&python));

    let second = project.run(&arguments).ended_with(0);
    all_succeeded_at_once(&second);
    assert_eq!(second.task("collect_flight_data")["output"]["reused"], true);
    assert_ne!(second.id(), first.id(), "another run");
    assert_eq!(standin.ledger().count(STATES), 1, "the API is not asked again");
    assert_eq!(project.lake_but_quality(), lake, "no file is added, lost or changed");
    assert_eq!(project.quality_rows(&python), quality);
    assert_eq!(project.all_marts(&python), marts);

    let Some(database) = postgres::fresh_database().unwrap() else { return };
    let on_postgres = Project::with_answers_of(&project, &standin).on_store(database.url());
    let third = on_postgres.run(&arguments).ended_with(0);
    all_succeeded_at_once(&third);
    KNOWN_EUROPE.shows_in(&third);
    assert_eq!(on_postgres.lake_but_quality(), lake);
    assert_eq!(on_postgres.quality_rows(&python), quality);
    assert_eq!(on_postgres.all_marts(&python), marts);
    // Each project and store knows of what was done through it: credits heard of, rows to replace, and that success is no news.
    assert_eq!(
        differences(&timeless(&project, second.document), &timeless(&on_postgres, third.document)),
        [
            "/tasks/0/output/credits_left: 3996, null",
            "/tasks/5/output/replaced: 1744, 0",
            "/tasks/5/output/targets/0/replaced: 1744, 0",
            "/tasks/9/output/sent: [], [\"log\"]",
            "/tasks/9/output/unchanged: [\"log\"], []",
        ],
        "the same on PostgreSQL as on SQLite"
    );
}

#[test]
fn new_york_gives_its_known_numbers() {
    let Some(python) = dbt_python() else { return };
    let standin = standin(demo_recording());
    let project = Project::new(&standin);
    let ran = project.run(&["-p", "regions=[\"north_america\"]"]).ended_with(0);
    all_succeeded_at_once(&ran);
    KNOWN_NEW_YORK.shows_in(&ran);
    KNOWN_NEW_YORK.stand_in(&project, &python);
}

#[test]
fn one_call_a_region_and_only_the_tasks_asked_for() {
    let standin = standin(demo_recording());
    let project = Project::new(&standin);
    let arguments = ["-p", "scope=per_region", "--task", "load_processed", "--task", "data_quality_check"];
    let ran = project.run(&arguments).ended_with(0);
    let ids: Vec<&str> = ran.tasks().iter().map(|task| task["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [TASKS[0], TASKS[1], TASKS[2], TASKS[4], TASKS[5]], "the others do not appear");
    let ledger = standin.ledger();
    let asked: Vec<&str> = ledger.to(STATES).map(|request| request.query.as_str()).collect();
    assert_eq!(
        asked,
        ["lamin=35&lomin=-10&lamax=70&lomax=40&extended=1", "lamin=25&lomin=-125&lamax=50&lomax=-65&extended=1",]
    );
    let output = &ran.task("split_and_validate")["output"];
    assert_eq!((&output["regions"]["europe"]["accepted"], &output["accepted"]), (&json!(0), &json!(509)));
    assert_eq!(ran.task("load_processed")["output"]["inserted"], 509);
}
