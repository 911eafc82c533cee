//! Loads into a lake in a temporary folder.

use std::sync::Arc;

use datafusion::arrow::array::{StringArray, TimestampMillisecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::record_batch::RecordBatch;
use serde_json::json;
use updraft_task::Lake;
use updraft_task::testing::TestRun;

use super::*;
use crate::parquet;

const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = 1_767_225_600_000;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("icao24", DataType::Utf8, false),
        Field::new("snapshot_time", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
    ]))
}

async fn dataset(lake: &Lake, name: &str, times: &[Option<i64>]) -> Dataset {
    let ids: StringArray = times.iter().enumerate().map(|(row, _)| Some(format!("{name}{row}"))).collect();
    let times = TimestampMillisecondArray::from(times.to_vec()).with_timezone("UTC");
    let batch = RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(times)]).unwrap();
    let rows = if batch.num_rows() == 0 { vec![] } else { vec![batch] };
    parquet::write_batches(lake, &format!("in/{name}.parquet"), &schema(), &rows, Some(&format!("w/s/e/{name}")))
        .await
        .unwrap()
}

async fn load(run: &TestRun, input: serde_json::Value) -> Result<LoadReport, TaskError> {
    let params = serde_json::from_value(json!({ "input": input, "table": "t" })).unwrap();
    WarehouseLoad::run(params, &run.context("load", 1, None)).await
}

async fn table(lake: &Lake) -> Vec<String> {
    lake.list("warehouse/t").await.unwrap().into_iter().map(|(key, _)| key).collect()
}

fn run_in(folder: &std::path::Path) -> TestRun {
    let run = TestRun::new(folder);
    run.connect("warehouse", json!({ "kind": "warehouse", "engine": "lake" }));
    run
}

#[tokio::test]
async fn rows_are_split_by_day_and_a_second_load_leaves_exactly_the_new_files() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_in(folder.path());
    let lake = run.context("x", 1, None).lake().unwrap();
    let other = dataset(&lake, "other", &[Some(START_MS)]).await;
    let first = dataset(&lake, "a", &[Some(START_MS), Some(START_MS + DAY_MS), Some(START_MS + 1)]).await;
    let report = load(&run, json!({ "a": { "dataset": first }, "other": { "dataset": other } })).await.unwrap();
    assert_eq!((report.rows_in, report.inserted, report.replaced, report.files), (4, 4, 0, 3));
    assert_eq!(report.partitions, ["2026-01-01", "2026-01-02"]);
    let before: Vec<_> = lake.list("warehouse").await.unwrap();
    let again = load(&run, json!([first, other])).await.unwrap();
    assert_eq!((again.inserted, again.replaced), (4, 4));
    assert_eq!(lake.list("warehouse").await.unwrap(), before, "nothing changes");

    let moved = dataset(&lake, "a", &[Some(START_MS + 2 * DAY_MS)]).await;
    let third = load(&run, json!(moved)).await.unwrap();
    assert_eq!((third.inserted, third.replaced), (1, 3));
    assert_eq!(
        table(&lake).await,
        ["warehouse/t/dt=2026-01-01/w_s_e_other.parquet", "warehouse/t/dt=2026-01-03/w_s_e_a.parquet"]
    );
}

#[tokio::test]
async fn a_day_is_replaced_by_what_is_loaded_and_other_days_stay() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_in(folder.path());
    let lake = run.context("x", 1, None).lake().unwrap();
    let hours = [
        dataset(&lake, "h1", &[Some(START_MS), Some(START_MS + 1)]).await,
        dataset(&lake, "h2", &[Some(START_MS + 2), Some(START_MS + DAY_MS)]).await,
    ];
    load(&run, json!(hours)).await.unwrap();
    let day = dataset(&lake, "day", &[Some(START_MS), Some(START_MS + 2), Some(START_MS + 3)]).await;
    for replaced in [3, 3] {
        let with = json!({ "input": day, "table": "t", "mode": "replace_partition" });
        let params = serde_json::from_value(with).unwrap();
        let report = WarehouseLoad::run(params, &run.context("load", 1, None)).await.unwrap();
        assert_eq!((report.inserted, report.replaced), (3, replaced));
        assert_eq!(
            table(&lake).await,
            ["warehouse/t/dt=2026-01-01/w_s_e_day.parquet", "warehouse/t/dt=2026-01-02/w_s_e_h2.parquet"]
        );
    }
    // The hour again: its own day's rows only, as before.
    let again = load(&run, json!(hours[1])).await.unwrap();
    assert_eq!((again.inserted, again.replaced), (2, 1));
}

#[tokio::test]
async fn an_empty_dataset_makes_the_table_with_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_in(folder.path());
    let lake = run.context("x", 1, None).lake().unwrap();
    let empty = dataset(&lake, "a", &[]).await;
    let report = load(&run, json!(empty)).await.unwrap();
    assert_eq!((report.rows_in, report.inserted, report.files), (0, 0, 1));
    let bytes = lake.get("warehouse/t/dt=2026-01-01/w_s_e_a.parquet").await.unwrap();
    assert_eq!(parquet::decode(bytes).unwrap().0.fields().len(), 2);
}

#[tokio::test]
async fn what_cannot_be_loaded_is_refused_with_its_class() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_in(folder.path());
    let lake = run.context("x", 1, None).lake().unwrap();
    let holes = dataset(&lake, "a", &[Some(START_MS), None]).await;
    let fine = dataset(&lake, "b", &[Some(START_MS)]).await;
    let gone = Dataset { uri: "in/gone.parquet".to_owned(), ..fine.clone() };
    for (input, class) in [
        (json!(holes), "BadPartition"),
        (json!([fine, fine]), "BadInput"),
        (json!([]), "BadInput"),
        (json!(gone), "NotFound"),
    ] {
        assert_eq!(load(&run, input.clone()).await.unwrap_err().class(), class, "{input}");
    }
    for (key, value) in [("partition_by", "nope"), ("partition_by", "icao24"), ("table", "a/b")] {
        let mut with = json!({ "input": fine, "table": "t" });
        with[key] = json!(value);
        let params = serde_json::from_value(with).unwrap();
        let error = WarehouseLoad::run(params, &run.context("load", 1, None)).await.unwrap_err();
        assert!(["BadPartition", "BadTable"].contains(&error.class()), "{error}");
    }
    assert_eq!(table(&lake).await, Vec::<String>::new(), "nothing was written");
}

#[tokio::test]
async fn a_group_loads_each_member_and_a_repeat_takes_over_what_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    run.connect("one", json!({ "kind": "warehouse", "engine": "lake", "tables": { "t": "other" } }));
    run.connect("two", json!({ "kind": "warehouse", "engine": "clickhouse" }));
    run.connect("warehouse", json!({ "kind": "group", "members": ["two", "one"] }));
    let lake = run.context("x", 1, None).lake().unwrap();
    let fine = dataset(&lake, "b", &[Some(START_MS)]).await;
    let error = load(&run, json!(fine)).await.unwrap_err();
    assert!(error.message().contains("warehouse `two`"), "{error}");
    assert_eq!(lake.list("warehouse/other").await.unwrap().len(), 1, "the other one is loaded all the same");

    run.connect("two", json!({ "kind": "warehouse", "engine": "lake" }));
    let params = serde_json::from_value(json!({ "input": fine, "table": "t" })).unwrap();
    let report = WarehouseLoad::run(params, &run.context("load", 2, None)).await.unwrap();
    let targets: Vec<_> = report.targets.iter().map(|t| (t.connection.as_str(), t.inserted, t.reused)).collect();
    assert_eq!(targets, [("two", 1, false), ("one", 1, true)]);
    assert_eq!((report.inserted, report.rows_in), (1, 1));
}

#[tokio::test]
async fn a_group_that_names_nothing_or_something_twice_or_no_warehouse_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_in(folder.path());
    let lake = run.context("x", 1, None).lake().unwrap();
    let fine = dataset(&lake, "b", &[Some(START_MS)]).await;
    run.connect("one", json!({ "kind": "warehouse", "engine": "lake" }));
    for members in [json!([]), json!(["one", "one"]), json!(["gone"]), json!(["lake"]), json!(["warehouse"])] {
        run.connect("warehouse", json!({ "kind": "group", "members": members }));
        assert_eq!(load(&run, json!(fine)).await.unwrap_err().class(), "BadConnection", "{members}");
    }
}
