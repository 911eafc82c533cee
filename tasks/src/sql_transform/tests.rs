//! Queries real Parquet, CSV and JSON files in a temporary lake.

use std::sync::Arc;

use datafusion::arrow::array::{Float64Array, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use serde_json::{Value, json};
use updraft_task::testing::TestRun;
use updraft_task::{Format, Lake};

use super::*;

async fn states(lake: &Lake, name: &str, rows: &[(&str, Option<f64>)]) -> Dataset {
    let schema = Schema::new(vec![
        Field::new("country", DataType::Utf8, false),
        Field::new("velocity_mps", DataType::Float64, true),
    ]);
    let names: StringArray = rows.iter().map(|(name, _)| Some(*name)).collect();
    let speeds: Float64Array = rows.iter().map(|(_, speed)| *speed).collect();
    let batch = RecordBatch::try_new(Arc::new(schema.clone()), vec![Arc::new(names), Arc::new(speeds)]).unwrap();
    parquet::write_batches(lake, &format!("in/dt=2026-01-01/{name}.parquet"), &schema, &[batch], None).await.unwrap()
}

async fn file(lake: &Lake, key: &str, format: Format, text: &str) -> Dataset {
    lake.put(key, text.to_owned()).await.unwrap();
    Dataset::of_bytes(key, format, 0, text.as_bytes())
}

async fn query(run: &TestRun, inputs: Value, sql: &str) -> Result<TransformReport, TaskError> {
    let with = json!({ "inputs": inputs, "sql": sql, "output": { "prefix": "derived/counts" } });
    SqlTransform::run(serde_json::from_value(with).unwrap(), &run.context("q", 1, None)).await
}

const COUNTS: &str =
    "select country, count(*) as aircraft, avg(velocity_mps) as mean_mps from states group by country order by country";

#[tokio::test]
async fn rows_get_typed_columns_a_key_of_the_interval_and_equal_bytes_twice() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let lake = run.context("x", 1, None).lake().unwrap();
    let a = states(&lake, "a", &[("Spain", Some(1.0)), ("France", None), ("Spain", Some(3.0))]).await;
    let b = states(&lake, "b", &[("Spain", None)]).await;
    let inputs = json!({ "states": { "a": { "dataset": a }, "b": { "dataset": b } } });
    let report = query(&run, inputs.clone(), COUNTS).await.unwrap();
    assert_eq!(
        report.dataset.uri,
        "derived/counts/dt=2026-01-01/test_20260101T000000Z_20260101T000000Z_counts.parquet"
    );
    let types: Vec<_> = report.columns.iter().map(|column| (column.name.as_str(), column.data_type.as_str())).collect();
    assert_eq!(types, [("country", "Utf8"), ("aircraft", "Int64"), ("mean_mps", "Float64")]);
    let (_, rows) = parquet::read_batches(&lake, &report.dataset).await.unwrap();
    assert_eq!(
        rows[0].column(0).as_any().downcast_ref::<StringArray>().unwrap(),
        &StringArray::from(vec!["France", "Spain"])
    );
    assert_eq!(
        rows[0].column(2).as_any().downcast_ref::<Float64Array>().unwrap(),
        &Float64Array::from(vec![None, Some(2.0)])
    );
    assert_eq!(query(&run, inputs, COUNTS).await.unwrap().dataset, report.dataset);
}

#[tokio::test]
async fn csv_and_json_join_parquet() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let lake = run.context("x", 1, None).lake().unwrap();
    let inputs = json!({
        "states": states(&lake, "a", &[("ES", Some(1.0)), ("FR", Some(2.0))]).await,
        "names": file(&lake, "in/names.csv", Format::Csv, "code,name\nES,Spain\nFR,France\n").await,
        "size": file(&lake, "in/size.json", Format::Json, r#"[{"code":"ES","km2":505990},{"code":"FR","km2":551695}]"#).await,
        "seen": file(&lake, "in/seen.ndjson", Format::Ndjson, "{\"code\":\"ES\"}\n{\"code\":\"FR\"}\n").await,
    });
    let sql = "select n.name, s.velocity_mps, z.km2 from states s join names n on n.code = s.country
               join size z on z.code = s.country join seen on seen.code = s.country order by 1";
    assert_eq!(query(&run, inputs, sql).await.unwrap().rows_out, 2);
}

#[tokio::test]
async fn a_statement_that_is_not_a_query_of_these_tables_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let lake = run.context("x", 1, None).lake().unwrap();
    let inputs = json!({ "states": states(&lake, "a", &[("ES", Some(1.0))]).await });
    for (sql, class, part) in [
        ("select contry\nfrom states", "BadSql", "line 1, column 8"),
        ("select 1\nfrom states where", "BadSql", "Expected"),
        ("select * from stats", "BadSql", "stats"),
        ("create table x as select 1", "BadSql", "DDL"),
        ("copy states to 'x.parquet'", "BadSql", "DML"),
        ("set datafusion.execution.batch_size = 1", "BadSql", "Statement"),
        ("select cast('x' as int)", "QueryFailed", "Cannot cast"),
    ] {
        let error = query(&run, inputs.clone(), sql).await.unwrap_err();
        assert_eq!(error.class(), class, "{sql}: {error}");
        assert!(error.message().contains(part), "{sql}: {error}");
    }
}

#[tokio::test]
async fn memory_is_limited_and_a_cancelled_query_ends() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let with = json!({
        "inputs": {}, "memory_limit_mb": 1, "output": { "prefix": "x" },
        "sql": "select array_agg(a.value) from generate_series(1, 2000000) a",
    });
    let error = SqlTransform::run(serde_json::from_value(with).unwrap(), &run.context("q", 1, None)).await.unwrap_err();
    assert_eq!(error.class(), "MemoryLimit", "{error}");

    run.cancel();
    let endless = "select count(*) as n from generate_series(1, 1000000) a cross join generate_series(1, 1000000) b";
    assert_eq!(query(&run, json!({}), endless).await.unwrap_err().class(), "Cancelled");
}

#[tokio::test]
async fn inputs_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let lake = run.context("x", 1, None).lake().unwrap();
    let good = states(&lake, "a", &[("ES", Some(1.0))]).await;
    let csv = file(&lake, "in/names.csv", Format::Csv, "a\n1\n").await;
    let changed = Dataset { sha256: "00".to_owned(), ..csv.clone() };
    let gone = Dataset { uri: "in/gone.csv".to_owned(), ..csv.clone() };
    let raw = Dataset { format: Format::Bytes, ..csv.clone() };
    for (input, class) in [
        (json!([]), "BadInput"),
        (json!([good, csv]), "BadInput"),
        (json!(raw), "BadInput"),
        (json!(changed), "CorruptDataset"),
        (json!(gone), "NotFound"),
    ] {
        let error = query(&run, json!({ "t": input }), "select * from t").await.unwrap_err();
        assert_eq!(error.class(), class, "{error}");
    }
}

#[tokio::test]
async fn on_s3_a_query_reads_and_writes_the_same_bytes_as_on_files() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (files, s3) = (TestRun::new(here.path()), TestRun::new(there.path()));
    let Some(_bucket) = crate::s3_lake::move_lake(&s3) else { return };
    let mut reports = Vec::new();
    for run in [&files, &s3] {
        let lake = run.context("x", 1, None).lake().unwrap();
        let a = states(&lake, "a", &[("ES", Some(1.0)), ("FR", None)]).await;
        let b = states(&lake, "b", &[("ES", Some(3.0))]).await;
        let names = file(&lake, "in/names.csv", Format::Csv, "code,name\nES,Spain\nFR,France\n").await;
        let inputs = json!({ "states": [a, b], "names": names });
        let sql = "select n.name, count(*) as aircraft from states s join names n on n.code = s.country group by 1 order by 1";
        let report = query(run, inputs.clone(), sql).await.unwrap();
        lake.read(&report.dataset).await.unwrap();
        lake.put(&report.dataset.uri, "changed").await.unwrap();
        assert_eq!(lake.read(&report.dataset).await.unwrap_err().class(), "CorruptDataset");
        assert_eq!(query(run, inputs, sql).await.unwrap().dataset, report.dataset);
        lake.delete("in/names.csv").await.unwrap();
        let gone = query(run, json!({ "names": names }), "select * from names").await.unwrap_err();
        assert_eq!(gone.class(), "NotFound");
        reports.push(report.dataset);
    }
    assert_eq!(reports[0], reports[1]);
}

/// Rows of a side that is held in memory are not spilled, so that a join of many rows with few has to hold the few.
#[tokio::test]
async fn many_rows_joined_with_few_on_either_side_need_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let many = query(
        &run,
        json!({}),
        "select value % 3 as code, lpad(value::text, 60, 'x') as text from generate_series(1, 300000)",
    );
    let many = many.await.unwrap().dataset;
    let ctx = run.context("few", 1, None);
    let few = file(&ctx.lake().unwrap(), "in/few.csv", Format::Csv, "code,name\n0,Spain\n1,France\n").await;
    for join in ["many left join few", "few right join many"] {
        let with = json!({
            "inputs": { "many": many, "few": few }, "memory_limit_mb": 24, "output": { "prefix": "derived/joined" },
            "sql": format!("select text, name from {join} on few.code = many.code"),
        });
        let report = SqlTransform::run(serde_json::from_value(with).unwrap(), &ctx).await.unwrap();
        assert_eq!(report.rows_out, 300_000, "{join}");
    }
}
