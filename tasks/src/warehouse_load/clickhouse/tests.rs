//! Loads into a real ClickHouse.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int32Array,
    Int64Array, NullArray, StringArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Int32Type};
use datafusion::arrow::record_batch::RecordBatch;
use serde_json::{Value, json};
use updraft_task::testing::TestRun;
use updraft_task::{Dataset, Task as _};
use updraft_testkit::services::clickhouse::{Database, fresh_database, own_server};

use super::*;
use crate::clickhouse::testing::{answer, cancelled_while, connect, execute};
use crate::warehouse_load::{LoadReport, WarehouseLoad};

mod broken_off;

const START_MS: i64 = 1_767_225_600_000;
const DAY_MS: i64 = 86_400_000;
/// A table, a view that counts its rows by day, and one that keeps the latest of each aircraft.
const STATES: &[&str] = &[
    "create table {d}.states (icao24 FixedString(6), last_contact DateTime('UTC'), velocity_mps Nullable(Float64), \
     region LowCardinality(String), ingested_at DateTime default now()) engine = ReplacingMergeTree(ingested_at) \
     order by (icao24, last_contact) partition by toDate(last_contact)",
    "create table {d}.hourly (day Date, states AggregateFunction(count), fastest AggregateFunction(max, Nullable(Float64))) \
     engine = AggregatingMergeTree order by day",
    "create materialized view {d}.hourly_mv to {d}.hourly as select toDate(last_contact) as day, countState() as states, \
     maxState(velocity_mps) as fastest from {d}.states group by day",
    "create materialized view {d}.inner_mv engine = SummingMergeTree order by region as \
     select region, count() as states from {d}.states group by region",
];

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

async fn load_as(run: &TestRun, with: Value, try_no: u32) -> Result<LoadReport, TaskError> {
    let params = serde_json::from_value(with).unwrap();
    WarehouseLoad::run(params, &run.context("load", try_no, None)).await
}

async fn load(run: &TestRun, table: &str, input: Value) -> Result<TargetReport, TaskError> {
    load_as(run, json!({ "input": input, "table": table }), 1).await.map(|report| report.targets[0].clone())
}

fn numbers(report: &TargetReport) -> (u64, u64, u64, u64, u64) {
    (report.sent, report.inserted, report.already_there, report.ignored, report.rows_found)
}

/// What the views have counted.
fn counted(database: &Database) -> [String; 2] {
    [
        "select sum(n) from (select countMerge(states) as n from {d}.hourly group by day)",
        "select sum(states) from {d}.inner_mv",
    ]
    .map(|sql| answer(database, sql))
}

fn ours(database: &Database) -> String {
    answer(database, "select count() from system.tables where database = '{d}' and startsWith(name, 'updraft')")
}

#[tokio::test]
async fn the_same_batch_again_changes_nothing_and_views_count_each_row_once() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.address(), database.name());
    execute(&database, STATES);
    let rows = [
        (1, START_MS, "europe"),
        (1, START_MS, "twice"),
        (2, START_MS + DAY_MS - 1, "europe"),
        (2, START_MS + DAY_MS, "europe"),
    ];
    let europe = dataset(&run, "europe", &states(&rows)).await;
    let first = load(&run, "states", json!(europe)).await.unwrap();
    assert_eq!(numbers(&first), (4, 3, 0, 1, 3));
    assert_eq!(first.partitions, ["2026-01-01", "2026-01-02"]);
    assert!(first.location.ends_with(".states"), "{}", first.location);
    assert_eq!(counted(&database), ["3", "3"]);

    let second = load(&run, "states", json!(europe)).await.unwrap();
    assert_eq!(numbers(&second), (4, 0, 3, 1, 3));
    // Another batch, with rows that are there, rows that are new, and rows of the first batch's second dataset.
    let north = dataset(&run, "north", &states(&[(2, START_MS + DAY_MS, "north"), (3, START_MS, "north")])).await;
    let third = load(&run, "states", json!([europe, north])).await.unwrap();
    assert_eq!(numbers(&third), (6, 1, 3, 2, 4));
    assert_eq!(counted(&database), ["4", "4"]);
    assert_eq!(
        answer(
            &database,
            "select icao24, toUnixTimestamp(last_contact), region, velocity_mps from {d}.states order by 1, 2"
        ),
        "000001\t1767225600\teurope\t0.1\n000002\t1767311999\teurope\t0.1\n000002\t1767312000\teurope\t0.1\n\
         000003\t1767225600\tnorth\t0.1"
    );
    assert_eq!(ours(&database), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loads_side_by_side_of_the_same_rows_insert_each_once() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.address(), database.name());
    execute(&database, STATES);
    let rows: Vec<_> = (0..500).map(|row| (row, START_MS, "x")).collect();
    let mut loads = Vec::new();
    for number in 0..4_u32 {
        // Two of each batch.
        let rows = dataset(&run, &format!("b{}", number / 2), &states(&rows)).await;
        let context = run.context(&format!("load{number}"), number + 1, None);
        let params = serde_json::from_value(json!({ "input": rows, "table": "states" })).unwrap();
        loads.push(tokio::spawn(async move { WarehouseLoad::run(params, &context).await }));
    }
    let mut inserted = 0;
    for load in loads {
        inserted += load.await.unwrap().unwrap().targets[0].inserted;
    }
    assert_eq!(inserted, 500);
    assert_eq!(counted(&database), ["500", "500"]);
}

#[tokio::test]
async fn an_empty_batch_is_nothing_and_rows_that_were_removed_come_again() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.address(), database.name());
    execute(&database, STATES);
    let empty = dataset(&run, "empty", &states(&[])).await;
    assert_eq!(numbers(&load(&run, "states", json!(empty)).await.unwrap()), (0, 0, 0, 0, 0));
    let some = dataset(&run, "some", &states(&[(1, START_MS, "x"), (2, START_MS, "x")])).await;
    assert_eq!(numbers(&load(&run, "states", json!(some)).await.unwrap()), (2, 2, 0, 0, 2));
    execute(&database, &["alter table {d}.states delete where icao24 = '000001' settings mutations_sync = 2"]);
    // The token of the first load must not make them vanish.
    assert_eq!(numbers(&load(&run, "states", json!(some)).await.unwrap()), (2, 1, 1, 0, 2));
    assert_eq!(answer(&database, "select count() from {d}.states final"), "2");
}

#[tokio::test]
async fn values_arrive_as_they_are() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.address(), database.name());
    execute(
        &database,
        &[
            "create table {d}.kinds (id UInt8, b Nullable(Bool), i Nullable(Int64), u Nullable(UInt64), small Nullable(Int8), \
           wide Nullable(Int128), f Nullable(Float64), s Nullable(Float32), t Nullable(String), l LowCardinality(Nullable(String)), \
           e Nullable(Enum8('a' = 1, 'b' = -2)), code Nullable(Enum8('x' = 7)), by Nullable(String), dec Nullable(Decimal(20, 4)), \
           d Nullable(Date), d32 Nullable(Date32), ms DateTime64(3, 'UTC'), us Nullable(DateTime64(6, 'UTC')), \
           ns Nullable(DateTime64(9, 'UTC')), cut Nullable(DateTime64(1, 'UTC')), sec Nullable(DateTime('UTC')), \
           id2 Nullable(UUID), ip Nullable(IPv4), made Int64 materialized id + 1, filled String default 'x') \
           engine = MergeTree order by id",
        ],
    );
    let uuid = "0190a0a0-0000-7000-8000-000000000001";
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![0, 1, 255]))),
        ("b", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("i", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)]))),
        ("u", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)]))),
        ("small", Arc::new(Int32Array::from(vec![Some(-128), None, Some(127)]))),
        ("wide", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(1)]))),
        ("f", Arc::new(Float64Array::from(vec![Some(f64::NAN), None, Some(-0.0)]))),
        ("s", Arc::new(Float64Array::from(vec![Some(f64::INFINITY), None, Some(0.5)]))),
        ("t", Arc::new(StringArray::from(vec![Some("é\t\u{1F600}\n\\N\0"), None, Some("")]))),
        ("l", Arc::new(vec![Some("word"), None, Some("")].into_iter().collect::<DictionaryArray<Int32Type>>())),
        ("e", Arc::new(StringArray::from(vec![Some("a"), None, Some("b")]))),
        ("code", Arc::new(Int64Array::from(vec![Some(7), None, Some(7)]))),
        ("by", Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None, Some(b"")]))),
        (
            "dec",
            Arc::new(
                Decimal128Array::from(vec![Some(-12_345), None, Some(1)]).with_precision_and_scale(10, 2).unwrap(),
            ),
        ),
        ("d", Arc::new(Date32Array::from(vec![Some(0), None, Some(65_535)]))),
        ("d32", Arc::new(Date32Array::from(vec![Some(-25_567), None, Some(120_529)]))),
        ("ms", instants(vec![-1, START_MS + 7, 0])),
        ("us", Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None, Some(10_413_791_999_999_999)]))),
        ("ns", Arc::new(TimestampNanosecondArray::from(vec![Some(-1), None, Some(1)]))),
        ("cut", Arc::new(TimestampMillisecondArray::from(vec![Some(-1), None, Some(1_999)]))),
        ("sec", Arc::new(TimestampSecondArray::from(vec![Some(0), None, Some(4_294_967_295)]))),
        ("id2", Arc::new(StringArray::from(vec![Some(uuid), None, Some(uuid)]))),
        ("ip", Arc::new(StringArray::from(vec![Some("10.0.0.1"), None, Some("0.0.0.0")]))),
    ];
    let kinds = dataset(&run, "kinds", &RecordBatch::try_from_iter(columns).unwrap()).await;
    assert_eq!(numbers(&load(&run, "kinds", json!(kinds)).await.unwrap()), (3, 3, 0, 0, 3));
    assert_eq!(
        answer(&database, "select * except by, hex(by), made from {d}.kinds order by id format TSV"),
        format!(
            "0\ttrue\t-9223372036854775808\t18446744073709551615\t-128\t18446744073709551615\tnan\tinf\t\
             é\\t\u{1F600}\\n\\\\N\\0\tword\ta\tx\t-123.45\t1970-01-01\t1900-01-01\t1969-12-31 23:59:59.999\t\
             1969-12-31 23:59:59.999999\t1969-12-31 23:59:59.999999999\t1969-12-31 23:59:59.9\t1970-01-01 00:00:00\t{uuid}\t\
             10.0.0.1\tx\t00FF\t1\n\
             1\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t2026-01-01 00:00:00.007\t\
             \\N\t\\N\t\\N\t\\N\t\\N\t\\N\tx\t\\N\t2\n\
             255\tfalse\t9223372036854775807\t0\t127\t1\t-0\t0.5\t\t\tb\tx\t0.01\t2149-06-06\t2299-12-31\t\
             1970-01-01 00:00:00.000\t2299-12-31 23:59:59.999999\t1970-01-01 00:00:00.000000001\t1970-01-01 00:00:01.9\t\
             2106-02-07 06:28:15\t{uuid}\t0.0.0.0\tx\t\t256"
        )
    );
}

#[tokio::test]
async fn what_a_column_does_not_hold_is_refused_with_its_row_and_nothing_is_there() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.address(), database.name());
    let second = |value: i64| Arc::new(TimestampSecondArray::from(vec![0, value])) as ArrayRef;
    let cases: Vec<(&str, ArrayRef, &str)> = vec![
        ("UInt8", Arc::new(Int64Array::from(vec![255, 256])), "RowRefused"),
        ("Int64", Arc::new(UInt64Array::from(vec![0, u64::MAX])), "RowRefused"),
        ("Float32", Arc::new(Float64Array::from(vec![0.0, 1e300])), "RowRefused"),
        ("FixedString(2)", Arc::new(StringArray::from(vec!["ab", "a"])), "RowRefused"),
        ("String", Arc::new(StringArray::from(vec![Some("a"), None])), "RowRefused"),
        ("Enum8('a' = 1)", Arc::new(StringArray::from(vec!["a", "z"])), ""),
        ("UUID", Arc::new(StringArray::from(vec!["a", "z"])), ""),
        ("DateTime", second(-1), "RowRefused"),
        ("DateTime", second(1 << 32), "RowRefused"),
        ("DateTime64(9)", second(10_000_000_000), "RowRefused"),
        ("Date", Arc::new(Date32Array::from(vec![0, 65_536])), "RowRefused"),
        ("Int64", Arc::new(StringArray::from(vec!["1", "2"])), "BadColumn"),
        ("Array(String)", Arc::new(StringArray::from(vec!["1", "2"])), "BadColumn"),
        ("Int64", Arc::new(NullArray::new(2)), "RowRefused"),
    ];
    for (index, (data_type, values, class)) in cases.into_iter().enumerate() {
        let row = if *values.data_type() == DataType::Null { 1 } else { 2 };
        let table = format!("t{index}");
        execute(
            &database,
            &[&format!("create table {{d}}.{table} (k Int64, v {data_type}) engine = MergeTree order by k")],
        );
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let rows = RecordBatch::try_from_iter_with_nullable([("k", keys, false), ("v", values, true)]).unwrap();
        let rows = dataset(&run, &table, &rows).await;
        let error = load(&run, &table, json!(rows)).await.unwrap_err();
        if class.is_empty() {
            // The server's own words, whose code depends on its version.
            assert!(["RowRefused", "BadSql"].contains(&error.class()), "{data_type}: {error}");
        } else {
            assert_eq!(error.class(), class, "{data_type}: {error}");
        }
        if class == "RowRefused" {
            assert!(error.message().contains(&format!("row {row}: `v`")), "{data_type}: {error}");
        }
        assert_eq!(answer(&database, &format!("select count() from {{d}}.{table}")), "0");
    }
    assert_eq!(ours(&database), "0");
}

#[tokio::test]
async fn tables_that_cannot_be_loaded_are_refused() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.address(), database.name());
    execute(
        &database,
        &[
            "create table {d}.no_key (k Int64) engine = MergeTree order by tuple()",
            "create table {d}.no_order (k Int64) engine = Log",
            "create table {d}.days (k Int64, at DateTime) engine = MergeTree order by k partition by toDate(at)",
        ],
    );
    let keys = RecordBatch::try_from_iter([("k", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    let keys = dataset(&run, "keys", &keys).await;
    for (table, class) in
        [("no_key", "BadTable"), ("no_order", "BadTable"), ("gone", "BadTable"), ("days", "BadColumn")]
    {
        assert_eq!(load(&run, table, json!(keys)).await.unwrap_err().class(), class, "{table}");
    }
    let many: Vec<i64> = (0..1_001).collect();
    let days = RecordBatch::try_from_iter([
        ("k", Arc::new(Int64Array::from(many.clone())) as ArrayRef),
        ("at", instants(many.iter().map(|day| day * DAY_MS).collect())),
    ])
    .unwrap();
    let few = dataset(&run, "few", &days.slice(0, 1_000)).await;
    assert_eq!(numbers(&load(&run, "days", json!(few)).await.unwrap()), (1_000, 1_000, 0, 0, 1_000));
    let days = dataset(&run, "many", &days).await;
    assert_eq!(load(&run, "days", json!(days)).await.unwrap_err().class(), "BadPartition");
}

#[tokio::test]
async fn keys_may_be_expressions_and_hold_nulls() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.address(), database.name());
    execute(
        &database,
        &["create table {d}.odd (`a b` Nullable(String), at DateTime64(3, 'UTC')) engine = ReplacingMergeTree \
           order by (lower(`a b`), at) partition by (toYYYYMM(at), `a b` is null) settings allow_nullable_key = 1"],
    );
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("A"), None, Some("a"), None]));
    let rows = RecordBatch::try_from_iter_with_nullable([
        ("a b", names, true),
        ("at", instants(vec![START_MS, START_MS, START_MS, START_MS]), false),
    ])
    .unwrap();
    let rows = dataset(&run, "odd", &rows).await;
    let first = load(&run, "odd", json!(rows)).await.unwrap();
    assert_eq!(numbers(&first), (4, 2, 0, 2, 2));
    assert_eq!(first.partitions, ["(202601,0)", "(202601,1)"]);
    assert_eq!(numbers(&load(&run, "odd", json!(rows)).await.unwrap()), (4, 0, 2, 2, 2));
}

#[tokio::test]
async fn rows_of_one_day_have_one_key_where_the_key_is_the_day() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.address(), database.name());
    execute(
        &database,
        &["create table {d}.daily (k Int64, at DateTime('UTC')) engine = ReplacingMergeTree order by (k, toDate(at)) \
           partition by toYYYYMM(at)"],
    );
    let rows = |at: i64| {
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        RecordBatch::try_from_iter([("k", keys), ("at", instants(vec![at]))]).unwrap()
    };
    let noon = dataset(&run, "noon", &rows(START_MS + DAY_MS / 2)).await;
    let morning = dataset(&run, "morning", &rows(START_MS + DAY_MS / 4)).await;
    assert_eq!(numbers(&load(&run, "daily", json!(noon)).await.unwrap()), (1, 1, 0, 0, 1));
    assert_eq!(numbers(&load(&run, "daily", json!(morning)).await.unwrap()), (1, 0, 1, 0, 1));
    assert_eq!(answer(&database, "select count() from {d}.daily"), "1");
}

#[tokio::test]
async fn whole_partitions_are_replaced() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.address(), database.name());
    execute(&database, &STATES[..1]);
    let replace = async |input: Value| {
        let with = json!({ "input": input, "table": "states", "mode": "replace_partition" });
        load_as(&run, with, 1).await.map(|report| report.targets[0].clone())
    };
    let old = [(1, START_MS, "old"), (2, START_MS, "old"), (3, START_MS, "old"), (1, START_MS + DAY_MS, "old")];
    let old = dataset(&run, "old", &states(&old)).await;
    load(&run, "states", json!(old)).await.unwrap();
    let new =
        dataset(&run, "new", &states(&[(2, START_MS, "new"), (2, START_MS, "twice"), (4, START_MS + 1, "new")])).await;
    for replaced in [3, 2] {
        let report = replace(json!(new)).await.unwrap();
        assert_eq!((numbers(&report), report.replaced), ((3, 2, 0, 1, 2), replaced));
        assert_eq!(report.partitions, ["2026-01-01"]);
        assert_eq!(
            answer(&database, "select icao24, region from {d}.states order by last_contact, icao24"),
            "000002\tnew\n000004\tnew\n000001\told"
        );
    }
    assert_eq!(ours(&database), "0");

    execute(
        &database,
        &["create table {d}.whole (icao24 FixedString(6), last_contact DateTime, velocity_mps Nullable(Float64), \
                          region String) engine = MergeTree order by icao24"],
    );
    let with = json!({ "input": new, "table": "whole", "mode": "replace_partition" });
    assert_eq!(load_as(&run, with, 1).await.unwrap_err().class(), "BadPartition");
    execute(&database, &STATES[1..3]);
    let error = replace(json!(new)).await.unwrap_err();
    assert!(error.class() == "BadPartition" && error.message().contains("hourly_mv"), "{error}");
}

#[tokio::test]
async fn a_server_that_refuses_the_user_or_is_not_there_is_told_apart() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let rows = dataset(&run, "rows", &states(&[(1, START_MS, "x")])).await;
    let address = database.address();
    let wrong = updraft_testkit::services::clickhouse::Address { password: "geheim".to_owned(), ..address.clone() };
    connect(&run, "warehouse", &wrong, database.name());
    let error = load(&run, "states", json!(rows)).await.unwrap_err();
    assert!(error.class() == "BadConnection" && !error.message().contains("geheim"), "{error}");
    connect(&run, "warehouse", address, "gone_for_good");
    assert_eq!(load(&run, "states", json!(rows)).await.unwrap_err().class(), "BadConnection");
    let nobody = updraft_testkit::services::clickhouse::Address { port: 1, ..address.clone() };
    connect(&run, "warehouse", &nobody, database.name());
    assert_eq!(load(&run, "states", json!(rows)).await.unwrap_err().class(), "Warehouse");
}
