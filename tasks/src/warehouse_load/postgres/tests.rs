//! Loads into a real PostgreSQL.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    ListBuilder, StringArray, StringBuilder, Time64MicrosecondArray, TimestampMillisecondArray, UInt64Array,
};
use datafusion::arrow::record_batch::RecordBatch;
use serde_json::{Value, json};
use updraft_task::testing::TestRun;
use updraft_task::{Dataset, Task as _, Verdict};
use updraft_testkit::postgres::{fresh_database, own_server};

use super::*;
use crate::postgres::testing::{cancelled_while_locked, connect, execute, texts, until};
use crate::warehouse_load::{LoadReport, WarehouseLoad};

const START_MS: i64 = 1_767_225_600_000;
const DAY_MS: i64 = 86_400_000;
const STATES: &str = "create table states (icao24 text, last_contact timestamptz, velocity_mps double precision, \
                      region text, regions text[] not null default '{}', primary key (icao24, last_contact)) \
                      partition by range (last_contact)";

fn instants(millis: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from(millis).with_timezone("UTC"))
}

/// Rows of an aircraft number, an instant and a region.
fn states(rows: &[(i64, i64, &str)]) -> RecordBatch {
    RecordBatch::try_from_iter([
        (
            "icao24",
            Arc::new(rows.iter().map(|row| Some(format!("{:06x}", row.0))).collect::<StringArray>()) as ArrayRef,
        ),
        ("last_contact", instants(rows.iter().map(|row| row.1).collect())),
        ("velocity_mps", Arc::new(Float64Array::from(vec![0.1; rows.len()])) as ArrayRef),
        ("region", Arc::new(rows.iter().map(|row| Some(row.2)).collect::<StringArray>()) as ArrayRef),
    ])
    .unwrap()
}

async fn dataset(run: &TestRun, name: &str, rows: &RecordBatch) -> Dataset {
    let lake = run.context("x", 1, None).lake().unwrap();
    let key = format!("in/{name}.parquet");
    parquet::write_batches(&lake, &key, &rows.schema(), std::slice::from_ref(rows), Some(name)).await.unwrap()
}

async fn load_as(run: &TestRun, table: &str, input: Value, try_no: u32) -> Result<LoadReport, TaskError> {
    let params = serde_json::from_value(json!({ "input": input, "table": table })).unwrap();
    WarehouseLoad::run(params, &run.context("load", try_no, None)).await
}

async fn load(run: &TestRun, table: &str, input: Value) -> Result<TargetReport, TaskError> {
    load_as(run, table, input, 1).await.map(|report| report.targets[0].clone())
}

fn numbers(report: &TargetReport) -> (u64, u64, u64, u64, u64, u64) {
    (report.sent, report.inserted, report.already_there, report.updated, report.ignored, report.rows_found)
}

#[tokio::test]
async fn the_same_batch_again_changes_nothing_and_lists_get_what_they_lack() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    execute(database.url(), STATES).await;
    let europe = states(&[
        (1, START_MS, "europe"),
        (1, START_MS, "europe"),
        (2, START_MS + DAY_MS - 1, "europe"),
        (2, START_MS + DAY_MS, "europe"),
    ]);
    let europe = dataset(&run, "europe", &europe).await;
    let first = load(&run, "states", json!(europe)).await.unwrap();
    assert_eq!(numbers(&first), (4, 3, 0, 0, 1, 3));
    assert_eq!(first.partitions, ["2026-01-01", "2026-01-02"]);
    assert!(first.location.ends_with(".states") && first.location.contains("public"), "{}", first.location);
    let all = "select (icao24, last_contact, velocity_mps, region, regions, xmin, tableoid::regclass)::text from states \
               order by 1";
    let before = texts(database.url(), all).await;
    assert!(before[0].contains("{europe}") && before[0].contains("states_p20260101"), "{before:?}");

    let again = load(&run, "states", json!(europe)).await.unwrap();
    assert_eq!(numbers(&again), (4, 0, 3, 0, 1, 3));
    assert_eq!(texts(database.url(), all).await, before, "not a row was touched");

    let north = dataset(&run, "north", &states(&[(1, START_MS, "north"), (3, START_MS, "north")])).await;
    let both = json!({ "north": { "dataset": north }, "europe": { "dataset": europe } });
    assert_eq!(numbers(&load(&run, "states", both.clone()).await.unwrap()), (6, 1, 3, 1, 2, 4));
    assert_eq!(
        texts(database.url(), "select icao24 || region || regions::text from states order by 1").await,
        ["000001europe{europe,north}", "000002europe{europe}", "000002europe{europe}", "000003north{north}"]
    );
    assert_eq!(numbers(&load(&run, "states", both).await.unwrap()), (6, 0, 4, 0, 2, 4));
    assert_eq!(texts(database.url(), "select count(*)::text from pg_inherits").await.len(), 1);
}

#[tokio::test]
async fn every_type_arrives_as_it_was() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    execute(
        database.url(),
        "create type mood as enum ('well', 'ill'); create domain short as varchar(3) check (value <> 'no');
         create table \"All\" (\"Id\" int2 primary key, u numeric, f float4, n numeric(8, 2), t text, m mood, s short,
             j jsonb, b bytea, d date, z timestamptz, l timestamp, c time, a text[], on_ground bool,
             made int generated always as (\"Id\" + 1) stored, filled text default 'x', id2 bigint generated by default as identity)",
    )
    .await;
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.append_value([Some("a,\"\\{}\n"), None]);
    lists.append_null();
    let rows = RecordBatch::try_from_iter([
        ("Id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        ("u", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
        ("f", Arc::new(Float64Array::from(vec![f64::NEG_INFINITY, 0.1]))),
        ("n", Arc::new(Decimal128Array::from(vec![Some(-12_345), None]).with_precision_and_scale(8, 2).unwrap())),
        ("t", Arc::new(StringArray::from(vec!["tab\tline\nback\\N\r", "\\."]))),
        ("m", Arc::new(StringArray::from(vec![Some("ill"), None]))),
        ("s", Arc::new(StringArray::from(vec![Some("abc"), None]))),
        ("j", Arc::new(StringArray::from(vec![Some("{\"a\": \"\\\\n\"}"), None]))),
        ("b", Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..], b""]))),
        ("d", Arc::new(Date32Array::from(vec![-719_529, 2_932_897]))),
        ("z", instants(vec![1_767_225_600_123, -1])),
        ("l", instants(vec![0, 1])),
        ("c", Arc::new(Time64MicrosecondArray::from(vec![1, 86_399_999_999]))),
        ("a", Arc::new(lists.finish())),
        ("on_ground", Arc::new(BooleanArray::from(vec![true, false]))),
    ])
    .unwrap();
    let all = dataset(&run, "all", &rows).await;
    let report = load(&run, "All", json!(all)).await.unwrap();
    assert_eq!(numbers(&report), (2, 2, 0, 0, 0, 2));
    execute(database.url(), "create view shown as select row_to_json(x)::text as row from \"All\" x order by \"Id\"")
        .await;
    let found: Vec<Value> = texts(database.url(), "select row from shown")
        .await
        .iter()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    let expected = [
        json!({ "Id": 1, "u": 18_446_744_073_709_551_615_u64, "f": "-Infinity", "n": -123.45, "t": "tab\tline\nback\\N\r",
            "m": "ill", "s": "abc", "j": { "a": "\\n" }, "b": "\\x00ff", "d": "0002-12-31 BC",
            "z": "2026-01-01T00:00:00.123+00:00", "l": "1970-01-01T00:00:00", "c": "00:00:00.000001",
            "a": ["a,\"\\{}\n", null], "on_ground": true, "made": 2, "filled": "x", "id2": 1 }),
        json!({ "Id": 2, "u": null, "f": 0.1, "n": null, "t": "\\.", "m": null, "s": null, "j": null, "b": "\\x",
            "d": "10000-01-01", "z": "1969-12-31T23:59:59.999+00:00", "l": "1970-01-01T00:00:00.001",
            "c": "23:59:59.999999", "a": null, "on_ground": false, "made": 3, "filled": "x", "id2": 2 }),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_class_and_leaves_nothing() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    execute(
        database.url(),
        "create table small (icao24 varchar(2) primary key, last_contact timestamptz, velocity_mps float8, region text);
         create table strict (icao24 text primary key, last_contact timestamptz, velocity_mps float8 check (velocity_mps > 1),
             region text);
         create table keyless (icao24 text, last_contact timestamptz, velocity_mps float8, region text);
         create table other (icao24 text primary key, last_contact text, velocity_mps float8);
         create table hashed (icao24 text primary key, last_contact timestamptz, velocity_mps float8, region text)
             partition by hash (icao24);
         create view seen as select 1",
    )
    .await;
    let rows = dataset(&run, "rows", &states(&[(1, START_MS, "europe")])).await;
    for (table, class, said) in [
        ("small", "RowRefused", "too long"),
        ("strict", "RowRefused", "check constraint"),
        ("keyless", "BadTable", "no primary key"),
        ("other", "BadColumn", "`region` (Utf8) is not in the table"),
        ("hashed", "RowRefused", "no partition"),
        ("seen", "BadTable", "not a table"),
        ("gone", "BadTable", "no table `gone`"),
        ("Small", "BadTable", "no table `Small`"),
    ] {
        let error = load(&run, table, json!(rows)).await.unwrap_err();
        assert_eq!(error.class(), class, "{table}: {error}");
        assert!(error.message().contains(said), "{table}: {error}");
    }
    assert_eq!(texts(database.url(), "select count(*)::text from strict").await, ["0"]);

    let narrow = RecordBatch::try_from_iter([("icao24", Arc::new(StringArray::from(vec!["a"])) as ArrayRef)]).unwrap();
    let narrow = dataset(&run, "narrow", &narrow).await;
    assert_eq!(load(&run, "hashed", json!([rows, narrow])).await.unwrap_err().class(), "BadInput");
    let nul = RecordBatch::try_from_iter([("icao24", Arc::new(StringArray::from(vec!["a\0"])) as ArrayRef)]).unwrap();
    let nul = dataset(&run, "nul", &nul).await;
    let error = load(&run, "strict", json!(nul)).await.unwrap_err();
    assert_eq!(error.class(), "RowRefused", "{error}");
    assert!(error.message().contains("COPY updraft_staging, line 1"), "{error}");
}

#[tokio::test]
async fn a_connection_that_is_wrong_says_so_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let rows = dataset(&run, "rows", &states(&[(1, START_MS, "europe")])).await;
    for (fields, class) in [
        (json!({}), "BadConnection"),
        (json!({ "url": "mysql://u@h/d" }), "BadConnection"),
        (json!({ "url": "postgres://u:hunter2@127.0.0.1:1/d" }), "BadConnection"),
        (json!({ "url": "postgres://u@127.0.0.1:1/d?password=hunter2" }), "BadConnection"),
        (json!({ "url": "postgres://u@127.0.0.1:port/d" }), "BadConnection"),
        (json!({ "url": "postgres://u@127.0.0.1:1/d?sslmode=disable", "password": "hunter2" }), "Warehouse"),
    ] {
        let mut entry = json!({ "kind": "warehouse", "engine": "postgres" });
        entry.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        run.connect("warehouse", entry);
        let error = load(&run, "states", json!(rows)).await.unwrap_err();
        assert_eq!(error.class(), class, "{fields}: {error}");
        assert!(!error.message().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn months_foreign_partitions_and_a_default_are_kept_to() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    let like = |name: &str| STATES.replace("states", name);
    execute(
        database.url(),
        &format!(
            "{}; comment on table monthly is 'x [partitions: monthly]'; {};
             create table byhand partition of foreign_ones for values from ('2025-12-15') to ('2026-01-15');
             {}; create table rest partition of catchall default;
             insert into catchall values ('x', '2026-01-01', 1, null)",
            like("monthly"),
            like("foreign_ones"),
            like("catchall")
        ),
    )
    .await;
    let rows = dataset(&run, "rows", &states(&[(1, START_MS, "a"), (1, START_MS + 20 * DAY_MS, "a")])).await;
    for (table, ranges, partitions) in [
        ("monthly", vec!["2026-01"], vec!["monthly_p202601"]),
        ("foreign_ones", vec!["2026-01-01", "2026-01-21"], vec!["byhand", "foreign_ones_p20260121"]),
        ("catchall", vec!["2026-01-01", "2026-01-21"], vec!["rest"]),
    ] {
        let report = load(&run, table, json!(rows)).await.unwrap();
        assert_eq!(
            (report.inserted, report.partitions),
            (2, ranges.into_iter().map(str::to_owned).collect()),
            "{table}"
        );
        let sql = format!(
            "select inhrelid::regclass::text from pg_inherits where inhparent = '{table}'::regclass order by 1"
        );
        assert_eq!(texts(database.url(), &sql).await, partitions);
    }
    let keys = "select count(*)::text from pg_index where indrelid = 'monthly_p202601'::regclass and indisprimary";
    assert_eq!(texts(database.url(), keys).await, ["1"], "a partition has the table's key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_side_by_side_of_the_same_rows_insert_each_once() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    execute(database.url(), STATES).await;
    let forward: Vec<_> = (0..5_000).map(|row| (row, START_MS + row % 3 * DAY_MS, "one")).collect();
    let backward: Vec<_> = forward.iter().rev().map(|row| (row.0, row.1, "two")).collect();
    let one = dataset(&run, "one", &states(&forward)).await;
    let two = dataset(&run, "two", &states(&backward)).await;
    let of = |name: &'static str, input: Dataset| {
        let context = run.context(name, 1, None);
        let params = serde_json::from_value(json!({ "input": input, "table": "states" })).unwrap();
        async move { WarehouseLoad::run(params, &context).await.unwrap().targets[0].clone() }
    };
    let (one, two) = tokio::join!(of("a", one), of("b", two));
    assert_eq!(one.inserted + two.inserted, 5_000);
    assert_eq!((one.rows_found, two.rows_found), (5_000, 5_000));
    assert_eq!(texts(database.url(), "select count(*)::text from states").await, ["5000"]);
    assert_eq!(
        texts(database.url(), "select count(*)::text from states where cardinality(regions) = 2").await,
        ["5000"]
    );
}

#[tokio::test]
async fn a_load_that_waits_is_ended_on_the_server_when_it_is_cancelled() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    execute(database.url(), STATES).await;
    let rows = dataset(&run, "rows", &states(&[(1, START_MS, "a")])).await;
    cancelled_while_locked(&run, database.url(), "states", Box::pin(load(&run, "states", json!(rows)))).await;
}

/// Many rows for tests that need time.
fn many(count: i64) -> RecordBatch {
    let rows: Vec<_> = (0..count).map(|row| (row, START_MS + row % 2 * DAY_MS, "europe")).collect();
    states(&rows)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_in_the_middle_of_a_load_loses_and_doubles_nothing() {
    let Some(mut server) = own_server().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let url = server.url();
    connect(&run, "warehouse", &url);
    execute(&url, STATES).await;
    let early = dataset(&run, "early", &states(&[(1, START_MS + DAY_MS, "asia"), (900_000, START_MS, "asia")])).await;
    assert_eq!(load_as(&run, "states", json!(early), 1).await.unwrap().inserted, 2);
    let rows = dataset(&run, "rows", &many(200_000)).await;
    let copying = "select exists (select from pg_stat_progress_copy where tuples_processed > 20000)";
    let inserting = "select exists (select from pg_stat_activity where state = 'active' and query like 'insert into%')";
    for (try_no, stage) in [(1, copying), (2, inserting)] {
        let context = run.context("load", try_no, None);
        let params = serde_json::from_value(json!({ "input": rows, "table": "states" })).unwrap();
        let task = tokio::spawn(async move { WarehouseLoad::run(params, &context).await });
        until(&url, stage).await;
        server.kill().unwrap();
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(error.class(), "Warehouse", "{error}");
        assert!(matches!(error.verdict(), Verdict::Retry { .. }), "{error}");
        server.start_again().unwrap();
        assert_eq!(texts(&url, "select count(*)::text from states").await, ["2"], "nothing of half a load");
    }
    let report = load_as(&run, "states", json!(rows), 3).await.unwrap().targets[0].clone();
    assert_eq!(numbers(&report), (200_000, 199_999, 1, 1, 0, 200_000));
    let again = load_as(&run, "states", json!(rows), 4).await.unwrap().targets[0].clone();
    assert_eq!(numbers(&again), (200_000, 0, 200_000, 0, 0, 200_000));
    assert_eq!(
        texts(&url, "select count(*)::text || '/' || count(distinct icao24) from states").await,
        ["200001/200001"]
    );
}

/// Only so that a column of whole numbers meets one of a narrower type.
#[tokio::test]
async fn numbers_beyond_a_narrower_column_are_refused_with_their_line() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    execute(database.url(), "create table narrow (id int2 primary key)").await;
    let rows = RecordBatch::try_from_iter([("id", Arc::new(Int32Array::from(vec![1, 40_000])) as ArrayRef)]).unwrap();
    let rows = dataset(&run, "rows", &rows).await;
    let error = load(&run, "narrow", json!(rows)).await.unwrap_err();
    assert_eq!(error.class(), "RowRefused");
    assert!(error.message().contains("line 2, column id"), "{error}");
}
