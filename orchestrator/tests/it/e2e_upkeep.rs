//! The workflows of upkeep by the engine. `opensky_maintenance`: what nobody needs is listed, and removed only when told so, in the lake
//! and in the databases. `opensky_reference_refresh`: what has not changed is left.

use std::fs;

use serde_json::json;
use updraft_testkit::postgres;
use updraft_testkit::services::s3::Precondition;
use updraft_testkit::services::set::Set;

use crate::e2e_batch::{REFERENCE, run};
use crate::e2e_services::{PROFILE, Stage};
use crate::e2e_support::{Project, demo_recording, standin};

const MAINTENANCE: &str = "workflows/opensky/maintenance.yaml";
const EXPIRED: &str = "processed-data/states/v1/dt=2020-01-01/hour=00/part-a.parquet";
const REMOVE: [&str; 2] = ["-p", "dry_run=false"];

#[test]
fn the_lake_is_listed_and_cleaned_when_told_so_and_databases_that_are_not_there_are_skipped() {
    let standin = standin(demo_recording());
    let project = Project::new(&standin).with_workflow(MAINTENANCE, &[]);
    let expired = project.lake().join(EXPIRED);
    fs::create_dir_all(expired.parent().unwrap()).unwrap();
    fs::write(&expired, "1").unwrap();

    let listed = run(&project, MAINTENANCE, &[]).ended_with(0);
    assert_eq!(listed.task("list_lake")["output"]["found"]["expired"], json!({ "objects": 1, "bytes": 1 }));
    for task in ["clean_lake", "list_databases", "clean_databases"] {
        assert_eq!(listed.states()[task], "skipped", "{task}");
    }
    assert!(expired.exists());

    let cleaned = run(&project, MAINTENANCE, &REMOVE).ended_with(0);
    assert_eq!(cleaned.task("clean_lake")["output"]["removed"], 1);
    assert_eq!(cleaned.states()["clean_databases"], "skipped");
    assert!(!expired.exists());
}

#[test]
fn what_is_past_its_age_goes_from_s3_and_both_databases() {
    let Some(mut stage) = Stage::new(demo_recording()) else { return };
    stage.project = stage.project.with_workflow(MAINTENANCE, &[]);
    let url = stage.servers.postgres_url().unwrap();
    for statement in [
        "create table processed_flights_p20200101 partition of processed_flights \
         for values from ('2020-01-01 00:00Z') to ('2020-01-02 00:00Z')",
        "insert into flight_statistics select hour, 'europe', 'Austria', 'low', 1, 1, null, null, null, 0, 1 \
         from generate_series(now() - interval '40 days', now(), '1 day') as hour",
    ] {
        postgres::texts(&url, statement).unwrap();
    }
    let flights = format!("{}.flights_streaming", Set::DATABASE);
    for statement in [
        format!("system stop ttl merges {flights}"),
        format!(
            "insert into {flights} (icao24, last_contact, snapshot_time, fetched_at, ingested_at) \
             select leftPad(toString(number), 6, '0'), at, at, at, at from (select number, now() - interval 50 day as at from numbers(7))"
        ),
    ] {
        stage.servers.clickhouse().query(&statement).unwrap();
    }
    stage.servers.s3().client().put(Set::BUCKET, EXPIRED, b"1", Precondition::None).unwrap();
    let there = || {
        let count = |engine, of| stage.number(engine, &format!("select count(*) from {of}"));
        let object = stage.servers.s3().client().list(Set::BUCKET, EXPIRED).unwrap().len();
        let partitions = count("postgres", "pg_class where relname = 'processed_flights_p20200101'");
        json!([object, partitions, count("postgres", "flight_statistics"), count("clickhouse", "flights_streaming")])
    };
    let before = json!([1, 1, 41, 7]);
    assert_eq!(there(), before);

    let listed = run(&stage.project, MAINTENANCE, &PROFILE).ended_with(0);
    let report = &listed.task("list_databases")["output"];
    assert_eq!((&report["rows"], &report["removed"]), (&json!(10 + 7), &json!(0)), "{report}");
    assert_eq!(there(), before);

    let remove = [&PROFILE[..], &REMOVE].concat();
    for removed in [10 + 7, 0] {
        let cleaned = run(&stage.project, MAINTENANCE, &remove).ended_with(0);
        assert_eq!(cleaned.task("clean_databases")["output"]["removed"], removed);
        assert_eq!(there(), json!([0, 0, 31, 0]));
    }
}

#[test]
fn reference_data_are_loaded_when_they_have_changed() {
    let standin = standin(demo_recording());
    let project = Project::new(&standin).with_workflow(REFERENCE, &[]);
    reference_data_are_loaded_once(&project, &[]);
    fs::write(project.folder().join("aircraft.csv"), "icao24,registration,typecode\nab12cd,N1,A320\n").unwrap();
    let with_aircraft = run(&project, REFERENCE, &["-p", "aircraft=aircraft.csv"]).ended_with(0);
    assert_eq!(with_aircraft.task("load_aircraft")["output"]["current"], 1);
    assert_eq!(with_aircraft.states()["load_airports"], "skipped");
}

#[test]
fn reference_data_are_loaded_once_on_s3() {
    let Some(mut stage) = Stage::new(demo_recording()) else { return };
    stage.project = stage.project.with_workflow(REFERENCE, &[]);
    reference_data_are_loaded_once(&stage.project, &PROFILE);
    let tables = stage.servers.s3().client().list(Set::BUCKET, "warehouse/dim_").unwrap();
    assert_eq!(tables.len(), 3, "{tables:?}");
}

fn reference_data_are_loaded_once(project: &Project, arguments: &[&str]) {
    let first = run(project, REFERENCE, arguments).ended_with(0);
    for (task, rows) in [("load_airports", 302), ("load_countries", 249), ("load_country_spellings", 111)] {
        assert_eq!(first.task(task)["output"]["current"], rows, "{task}");
    }
    assert_eq!(first.states()["load_aircraft"], "skipped");
    let second = run(project, REFERENCE, arguments).ended_with(0);
    for (task, state) in second.states() {
        assert!(state == "skipped" || !task.starts_with("load_"), "{task}: {state}");
    }
}
