//! Loads that are broken off: the server is killed, the client is, or the attempt is cancelled.

use std::time::{Duration, Instant};

use updraft_task::Verdict;
use updraft_testkit::services::clickhouse::Address;

use super::*;

const DATABASE: &str = "broken";

fn make(address: &Address) {
    address.query(&format!("create database {DATABASE}")).unwrap();
    for sql in STATES {
        address.query(&sql.replace("{d}", DATABASE)).unwrap();
    }
}

/// Rows of the table, as they are and merged, and what its views have counted.
fn counts(address: &Address) -> [String; 4] {
    [
        "select count() from {d}.states",
        "select count() from {d}.states final",
        "select sum(n) from (select countMerge(states) as n from {d}.hourly group by day)",
        "select sum(states) from {d}.inner_mv",
    ]
    .map(|sql| address.query(&sql.replace("{d}", DATABASE)).unwrap())
}

async fn many(run: &TestRun, name: &str, first: i64, rows: i64) -> Dataset {
    let lake = run.context("x", 1, None).lake().unwrap();
    let part = |from: i64| {
        let rows: Vec<_> = (from..from + 10_000).map(|row| (row, START_MS + row % 2 * DAY_MS, "europe")).collect();
        states(&rows)
    };
    let mut encoder = parquet::Encoder::new(&part(0).schema()).unwrap();
    for from in (first..first + rows).step_by(10_000) {
        encoder.push(&part(from)).unwrap();
    }
    encoder.finish().unwrap().put(&lake, &format!("in/{name}.parquet"), Some(name)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_at_any_moment_of_a_load_loses_and_doubles_nothing_in_views_too() {
    let Some(mut server) = own_server().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    make(server.address());
    connect(&run, "warehouse", server.address(), DATABASE);
    let (mut expected, mut killed, mut attempt) = (0, 0, 0);
    // The queries at which it is killed, as the server sees them.
    for (index, at) in ["updraft_staged", "updraft_picked", "insert into `broken`", "rename table", "drop table"]
        .into_iter()
        .enumerate()
    {
        for delay in [0, 15] {
            // Every second batch overlaps with the one before.
            let first = expected - i64::from(index % 2 == 1) * expected.min(20_000);
            let rows = many(&run, &format!("b{index}_{delay}"), first, 300_000).await;
            expected = first + 300_000;
            attempt += 1;
            let (context, with) = (run.context("load", attempt, None), json!({ "input": rows, "table": "states" }));
            let loading =
                tokio::spawn(async move { WarehouseLoad::run(serde_json::from_value(with).unwrap(), &context).await });
            let address = server.address().clone();
            let seen = format!(
                "select count() > 0 from system.processes where startsWith(query, 'insert') and position(query, '{at}') > 0"
            );
            let begun = Instant::now();
            while !loading.is_finished() && begun.elapsed() < Duration::from_secs(30) {
                if address.query(&seen).is_ok_and(|found| found == "1") {
                    tokio::time::sleep(Duration::from_millis(delay)).await;
                    break;
                }
            }
            server.kill().unwrap();
            let broken = loading.await.unwrap();
            server.start_again().unwrap();
            if let Err(error) = &broken {
                killed += 1;
                assert!(matches!(error.verdict(), Verdict::Retry { .. }), "{error}");
            }
            let report = loop {
                attempt += 1;
                let again = json!({ "input": rows, "table": "states" });
                match load_as(&run, again, attempt).await {
                    Ok(report) => break report.targets[0].clone(),
                    Err(error) => assert!(matches!(error.verdict(), Verdict::Retry { .. }), "{error}"),
                }
            };
            assert_eq!((report.sent, report.rows_found, report.ignored), (300_000, 300_000, 0), "{at} {delay}");
            let wanted = expected.to_string();
            assert_eq!(counts(server.address()), [wanted.as_str(); 4], "{at} {delay}");
        }
    }
    assert!(killed > 0, "no load was broken off");
    let left =
        format!("select count() from system.tables where database = '{DATABASE}' and startsWith(name, 'updraft')");
    assert_eq!(server.address().query(&left).unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_whose_process_dies_is_finished_by_the_next_attempt() {
    let Some(server) = own_server().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    make(server.address());
    connect(&run, "warehouse", server.address(), DATABASE);
    let rows = many(&run, "rows", 0, 300_000).await;
    for (number, at) in ["updraft_staged", "updraft_picked", "insert into `broken`"].into_iter().enumerate() {
        let number = u32::try_from(number).unwrap() + 1;
        let (context, with) = (run.context("load", number, None), json!({ "input": rows, "table": "states" }));
        let loading =
            tokio::spawn(async move { WarehouseLoad::run(serde_json::from_value(with).unwrap(), &context).await });
        let seen = format!(
            "select count() > 0 from system.processes where startsWith(query, 'insert') and position(query, '{at}') > 0"
        );
        // A short query may pass unseen: then the load is done, and those after it find nothing to do.
        while !loading.is_finished() && server.address().query(&seen).unwrap() != "1" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Nobody says goodbye, and the server goes on with what it was told.
        loading.abort();
        let _ = loading.await;
    }
    let report = load_as(&run, json!({ "input": rows, "table": "states" }), 9).await.unwrap();
    assert_eq!((report.rows_in, report.inserted), (300_000, 300_000));
    assert_eq!(counts(server.address()), ["300000"; 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_lacks_a_block_gets_it_by_the_next_attempt() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.address(), database.name());
    execute(&database, STATES);
    // As if the server had died between the table and its view.
    execute(
        &database,
        &[
            "create table {d}.strict (states UInt64, constraint none check states = 0) engine = MergeTree order by states",
            "create materialized view {d}.strict_mv to {d}.strict as select count() as states from {d}.states",
        ],
    );
    let rows = dataset(&run, "rows", &states(&[(1, START_MS, "x"), (2, START_MS, "x")])).await;
    let error = load(&run, "states", json!(rows)).await.unwrap_err();
    assert_eq!(error.class(), "RowRefused", "{error}");
    execute(&database, &["drop table {d}.strict_mv"]);
    let again = load_as(&run, json!({ "input": rows, "table": "states" }), 2).await.unwrap();
    assert_eq!(numbers(&again.targets[0]), (2, 2, 0, 0, 2));
    assert_eq!(counted(&database), ["2", "2"]);
    assert_eq!(answer(&database, "select count() from {d}.states"), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_is_ended_on_the_server_when_it_is_cancelled() {
    let Some(server) = own_server().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    make(server.address());
    // A view that takes its time.
    server
        .address()
        .query(&format!(
            "create materialized view {DATABASE}.slow engine = Memory as select sleepEachRow(0.01) as s from {DATABASE}.states"
        ))
        .unwrap();
    connect(&run, "warehouse", server.address(), DATABASE);
    let rows: Vec<_> = (0..250).map(|row| (row, START_MS, "europe")).collect();
    let rows = dataset(&run, "rows", &states(&rows)).await;
    let work = load(&run, "states", json!(rows));
    cancelled_while(&run, server.address(), "insert into `broken`", work).await;
}
