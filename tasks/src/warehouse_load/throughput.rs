//! A report: a million flight states through `warehouse.load`, beside what each server does with its own tool in the same run.
//! `cargo test --release -p updraft-tasks --lib one_million_states_into -- --ignored --nocapture --test-threads 1`

use std::time::{Duration, Instant};

use serde_json::json;
use updraft_task::Task as _;
use updraft_task::testing::TestRun;
use updraft_testkit::{postgres, services};

use super::{TargetReport, WarehouseLoad};
use crate::million::{self, peak_mib};

const COLUMNS: &str = "icao24 text not null, callsign text, origin_country text, time_position INSTANT, last_contact INSTANT not null, \
    longitude_deg NUMBER, latitude_deg NUMBER, baro_altitude_m NUMBER, on_ground boolean, velocity_mps NUMBER, \
    true_track_deg NUMBER, vertical_rate_mps NUMBER, geo_altitude_m NUMBER, squawk text, region text";

/// Twice; the second changes nothing. Gives the seconds of the first.
#[expect(clippy::print_stdout, reason = "figures")]
async fn loads(run: &TestRun) -> f64 {
    let rows = million::dataset(run).await;
    println!("peak before: {} MiB", peak_mib());
    let mut first = 0.0;
    for name in ["empty table", "again"] {
        let params = serde_json::from_value(json!({ "input": rows, "table": "states" })).unwrap();
        let begun = Instant::now();
        let report = WarehouseLoad::run(params, &run.context(name, 1, None)).await.unwrap();
        let seconds = begun.elapsed().as_secs_f64();
        let TargetReport { sent, inserted, already_there, rows_found, .. } = &report.targets[0];
        println!(
            "warehouse.load, {name}: {seconds:.2} s, {sent} sent, {inserted} inserted, {already_there} already there, \
             {rows_found} found, peak {} MiB",
            peak_mib()
        );
        if name == "empty table" {
            first = seconds;
        }
    }
    first
}

#[expect(clippy::print_stdout, reason = "figures")]
fn beside(what: &str, ours: f64, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    println!("{what}: {seconds:.2} s; warehouse.load takes {:.1} times as long", ours / seconds);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures; takes a minute"]
#[expect(clippy::print_stdout, reason = "figures")]
async fn one_million_states_into_postgres_beside_a_plain_copy() {
    let Some(database) = postgres::fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    crate::postgres::testing::connect(&run, "warehouse", database.url());
    let (columns, key) = postgres_columns();
    let tables = format!(
        "create table states ({columns}, {key}) partition by range (last_contact); create table plain ({columns}, {key})"
    );
    crate::postgres::testing::execute(database.url(), &tables).await;
    let ours = loads(&run).await;
    let file = folder.path().join("rows.txt");
    for (what, sql) in [
        ("psql \\copy out", format!("\\copy (select * from states) to '{}'", file.display())),
        ("psql \\copy in, into a table with the same key", format!("\\copy plain from '{}'", file.display())),
    ] {
        let begun = Instant::now();
        let done = std::process::Command::new("psql").args([database.url(), "-q", "-c", &sql]).status();
        match done {
            Ok(status) if status.success() => beside(what, ours, begun),
            Ok(status) => println!("{what}: {status}"),
            Err(error) => println!("{what}: not run ({error})"),
        }
    }
}

fn postgres_columns() -> (String, &'static str) {
    let columns = COLUMNS.replace("INSTANT", "timestamptz").replace("NUMBER", "double precision");
    (columns, "primary key (icao24, last_contact)")
}

/// `cargo test --release -p updraft-tasks --lib twelve_million_states -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures; takes some minutes and 8 GB of disk"]
#[expect(clippy::print_stdout, reason = "figures")]
async fn twelve_million_states_into_postgres_in_the_memory_of_one() {
    const MILLIONS: i64 = 12;
    let Some(database) = postgres::fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    crate::postgres::testing::connect(&run, "warehouse", database.url());
    let (columns, key) = postgres_columns();
    let table = format!("create table states ({columns}, {key}) partition by range (last_contact)");
    crate::postgres::testing::execute(database.url(), &table).await;
    let mut inputs = Vec::new();
    for number in 0..MILLIONS {
        inputs.push(million::nth(&run, number).await);
    }
    let before = peak_mib();
    let params = serde_json::from_value(json!({ "input": inputs, "table": "states" })).unwrap();
    let begun = Instant::now();
    let report = WarehouseLoad::run(params, &run.context("load", 1, None)).await.unwrap();
    assert_eq!(report.targets[0].inserted, MILLIONS.unsigned_abs() * million::STATES.unsigned_abs());
    let size = "select pg_size_pretty(sum(pg_total_relation_size(inhrelid))) from pg_inherits where inhparent = 'states'::regclass";
    println!(
        "{} million states: {:.1} s, peak {before} MiB before and {} MiB after, {} in the table",
        MILLIONS,
        begun.elapsed().as_secs_f64(),
        peak_mib(),
        crate::postgres::testing::texts(database.url(), size).await[0]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures; takes a minute"]
#[expect(clippy::print_stdout, reason = "figures")]
async fn one_million_states_into_clickhouse_beside_a_raw_insert() {
    let Some(database) = services::clickhouse::fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let (address, name) = (database.address(), database.name());
    crate::clickhouse::testing::connect(&run, "warehouse", address, name);
    let columns = COLUMNS
        .replace(" not null", "")
        .replace(" text", " Nullable(String)")
        .replace("icao24 Nullable(String)", "icao24 String")
        .replace("last_contact INSTANT", "last_contact DateTime64(3, 'UTC')")
        .replace("INSTANT", "Nullable(DateTime64(3, 'UTC'))")
        .replace("NUMBER", "Nullable(Float64)")
        .replace("boolean", "Nullable(Bool)");
    let how = "engine = ReplacingMergeTree partition by toDate(last_contact) order by (icao24, last_contact)";
    for table in ["states", "plain"] {
        crate::clickhouse::testing::execute(&database, &[&format!("create table {{d}}.{table} ({columns}) {how}")]);
    }
    let ours = loads(&run).await;
    let client = reqwest::Client::builder().timeout(Duration::from_mins(2)).build().unwrap();
    let ask = |query: String, body: Vec<u8>| {
        let request = client.post(address.url()).query(&[("query", query)]);
        let request = request.header("x-clickhouse-user", &address.user).header("x-clickhouse-key", &address.password);
        async move { request.body(body).send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap() }
    };
    let rows = ask(format!("select * from {name}.states format RowBinary"), Vec::new()).await.to_vec();
    println!("rows as RowBinary: {} MiB", rows.len() / (1 << 20));
    let begun = Instant::now();
    ask(format!("insert into {name}.plain settings async_insert = 0 format RowBinary"), rows).await;
    beside("a raw RowBinary insert over HTTP, into a table with the same key", ours, begun);
    assert_eq!(crate::clickhouse::testing::answer(&database, "select count() from {d}.plain"), "1000000");
}
