//! Results as rows of the lake's table `quality_results`, one file per task, the same place in every run of an
//! interval, so that a repeated run leaves no row of the one before; and of the databases behind the task's connection, where
//! rows of each run stay.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, StringArray, TimestampMillisecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::arrow::record_batch::RecordBatch;
use updraft_task::{Context, Dataset, Lake, TaskError};

use super::check::RuleResult;
use super::groups::ALL;
use crate::batch::{batch_id, day, slug};
use crate::parquet;
use crate::warehouse_load::{Batch, Engine, Mode, TargetReport, into_each, warehouses};

fn schema() -> Schema {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Schema::new(vec![
        text("run_id", false),
        text("workflow", false),
        text("task", false),
        text("batch_id", false),
        text("region", false),
        text("check_name", false),
        text("column_name", false),
        text("severity", false),
        Field::new("observed", DataType::Float64, true),
        Field::new("threshold", DataType::Float64, true),
        text("state", false),
        Field::new("score", DataType::Float64, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
    ])
}

/// Where results of a day lie: that of their interval's end.
pub(super) fn folder(table: &str, day: &str) -> String {
    format!("warehouse/{table}/dt={day}")
}

/// The task's part of a file's name.
fn file(ctx: &Context) -> String {
    ctx.attempt().key.to_string().replace(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-', "_")
}

/// What stands before and after `{start}_{end}` in the name of a file of this task.
pub(super) fn around_interval(ctx: &Context) -> (String, String) {
    (format!("{}_", slug(&ctx.run().workflow)), format!("_{ALL}_{}.parquet", file(ctx)))
}

/// Writes all results and answers their key.
pub(super) async fn write(
    ctx: &Context,
    lake: &Lake,
    table: &str,
    results: &[RuleResult],
) -> Result<Dataset, TaskError> {
    let run = ctx.run();
    let task = ctx.attempt().key.to_string();
    let count = results.len();
    let same = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; count])) };
    let texts = |of: &dyn Fn(&RuleResult) -> Option<String>| -> ArrayRef {
        Arc::new(results.iter().map(of).collect::<StringArray>())
    };
    let numbers = |of: &dyn Fn(&RuleResult) -> Option<f64>| -> ArrayRef {
        Arc::new(results.iter().map(of).collect::<Float64Array>())
    };
    let at = TimestampMillisecondArray::from(vec![run.interval.end.as_millis(); count]).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        same(&run.run_id.to_string()),
        same(&run.workflow),
        same(&task),
        texts(&|result| Some(result.batch.clone())),
        texts(&|result| Some(result.region.clone())),
        texts(&|result| Some(result.name.clone())),
        texts(&|result| Some(result.column.clone().unwrap_or_default())),
        texts(&|result| Some(result.severity.name().to_owned())),
        numbers(&|result| result.observed),
        numbers(&|result| result.threshold),
        texts(&|result| Some(result.state.name().to_owned())),
        numbers(&|result| result.score),
        Arc::new(at),
    ];
    let rows = RecordBatch::try_new(Arc::new(schema()), columns)
        .map_err(|error| TaskError::fail("BadParquet", format!("the results do not fit their table: {error}")))?;
    let batch = batch_id(run, ALL);
    let key = format!("{}/{}_{}.parquet", folder(table, &day(run.interval.end)), slug(&batch), file(ctx));
    parquet::write_batches(lake, &key, &schema(), &[rows], Some(&batch)).await
}

/// Loads the rows of a run into what is behind the task's connection, if it names one.
///
/// # Errors
/// As `warehouse.load`'s.
pub(super) async fn load(ctx: &Context, table: &str, results: &Dataset) -> Result<Vec<TargetReport>, TaskError> {
    let Some(connection) = ctx.connection_name() else { return Ok(Vec::new()) };
    let mut warehouses = warehouses(ctx, connection)?;
    // The task's own lake has the file already.
    warehouses.retain(|(_, connection)| connection.engine != Engine::Lake || connection.url.is_some());
    let batches = [Batch { id: batch_id(ctx.run(), ALL), dataset: results }];
    into_each(ctx, &warehouses, table, "at", Mode::ReplaceBatch, &batches).await
}
