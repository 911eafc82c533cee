//! Tables in the lake: Parquet, one file per batch and day. A batch is replaced whole, or a day by what is loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::{Array, BooleanArray, Date32Array};
use datafusion::arrow::compute::{cast, filter_record_batch};
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use updraft_task::{Lake, TaskError};

use super::{Load, Mode, TargetReport, WarehouseConnection};
use crate::batch::{day, slug};
use crate::parquet;

/// Loads each batch in place of what an earlier load of it left.
pub(super) async fn load(connection: &WarehouseConnection, load: &Load<'_>) -> Result<TargetReport, TaskError> {
    let ctx = load.ctx;
    let warehouse = connection.lake(ctx)?;
    let source = ctx.lake()?;
    let mut report = load.report(connection.engine, format!("warehouse/{}", load.table));
    let mut days = BTreeSet::new();
    for (index, batch) in load.batches.iter().enumerate() {
        if ctx.cancelled().is_cancelled() {
            return Err(TaskError::cancelled());
        }
        let (id, dataset) = (&batch.id, batch.dataset);
        let (schema, rows) = parquet::read_batches(&source, dataset).await?;
        let parts = by_day(&schema, &rows, load.partition_by, &day(ctx.run().interval.start))
            .map_err(|error| error.context(format!("`{}`", dataset.uri)))?;
        let loaded = replace(&warehouse, &report.location, id, &schema, &parts).await?;
        if loaded.found != dataset.rows {
            return Err(TaskError::retry(
                "CountMismatch",
                format!(
                    "batch `{id}` has {} rows, but {} holds {} of them after loading",
                    dataset.rows, report.location, loaded.found
                ),
            ));
        }
        ctx.info(format!("{id}: {} rows in {} file(s), {} replaced", loaded.found, parts.len(), loaded.replaced));
        report.sent += dataset.rows;
        report.inserted += loaded.found;
        report.rows_found += loaded.found;
        report.replaced += loaded.replaced;
        report.files += parts.len() as u64;
        days.extend(parts.into_keys());
        ctx.progress(index as u64 + 1, Some(load.batches.len() as u64), "batches");
    }
    match load.mode {
        Mode::ReplaceBatch => {}
        Mode::ReplacePartition => report.replaced += clear(&warehouse, &report.location, &days, load).await?,
    }
    report.partitions = days.into_iter().take(400).collect();
    Ok(report)
}

/// Removes from these days the files of all batches but those that were loaded; the number of their rows. What a crash leaves
/// undone the next attempt does.
async fn clear(lake: &Lake, location: &str, days: &BTreeSet<String>, load: &Load<'_>) -> Result<u64, TaskError> {
    let loaded: BTreeSet<String> = load.batches.iter().map(|batch| format!("{}.parquet", slug(&batch.id))).collect();
    let mut replaced = 0;
    for day in days {
        for (key, _) in lake.list(&format!("{location}/dt={day}/")).await? {
            if key.rsplit('/').next().is_some_and(|name| loaded.contains(name)) {
                continue;
            }
            if let Some(bytes) = lake.find(&key).await? {
                replaced += parquet::row_count(bytes)?;
            }
            lake.delete(&key).await?;
        }
    }
    Ok(replaced)
}

/// Rows by day of a column. Without rows there is one empty part, so that the table exists with its columns.
fn by_day(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    column: &str,
    default_day: &str,
) -> Result<BTreeMap<String, Vec<RecordBatch>>, TaskError> {
    let index = time_column(schema, column)?;
    let mut parts: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
    let broken = |error| TaskError::fail("BadPartition", format!("column `{column}`: {error}"));
    for batch in batches {
        let days = cast(batch.column(index), &DataType::Date32).map_err(broken)?;
        let Some(days) = days.as_any().downcast_ref::<Date32Array>() else {
            return Err(TaskError::fail("BadPartition", format!("column `{column}` does not read as dates")));
        };
        if days.null_count() > 0 {
            return Err(TaskError::fail(
                "BadPartition",
                format!(
                    "{} rows have no `{column}`: every row needs a day; partition by another column",
                    days.null_count()
                ),
            ));
        }
        for number in days.values().iter().copied().collect::<BTreeSet<i32>>() {
            let Some(date) = Date32Array::from(vec![number]).value_as_date(0) else {
                return Err(TaskError::fail(
                    "BadPartition",
                    format!("column `{column}` holds a time outside the calendar"),
                ));
            };
            let mask: BooleanArray = days.values().iter().map(|day| Some(*day == number)).collect();
            let rows = filter_record_batch(batch, &mask).map_err(broken)?;
            parts.entry(date.format("%Y-%m-%d").to_string()).or_default().push(rows);
        }
    }
    if parts.is_empty() {
        parts.insert(default_day.to_owned(), Vec::new());
    }
    Ok(parts)
}

fn time_column(schema: &Schema, column: &str) -> Result<usize, TaskError> {
    let Ok(index) = schema.index_of(column) else {
        let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        return Err(TaskError::fail(
            "BadPartition",
            format!("`partition_by: {column}`: there is no such column; there are {}", known.join(", ")),
        ));
    };
    let data_type = schema.field(index).data_type();
    if !matches!(data_type, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64) {
        return Err(TaskError::fail(
            "BadPartition",
            format!("`partition_by: {column}` is {data_type}, but a timestamp or a date is needed"),
        ));
    }
    Ok(index)
}

struct Loaded {
    found: u64,
    replaced: u64,
}

/// The files of a batch, known by a small record beside the tables, so that loading does not list the whole table.
/// It is written before the files: after a crash it names at least those that are there.
async fn replace(
    lake: &Lake,
    location: &str,
    batch: &str,
    schema: &Arc<Schema>,
    parts: &BTreeMap<String, Vec<RecordBatch>>,
) -> Result<Loaded, TaskError> {
    let name = slug(batch);
    let record = format!("{}/{name}.json", location.replacen("warehouse/", "warehouse/_batches/", 1));
    let file = |day: &str| format!("{location}/dt={day}/{name}.parquet");
    let before: BTreeSet<String> = match lake.find(&record).await? {
        Some(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| TaskError::fail("BadTable", format!("`{record}` does not read: {error}")))?,
        None => BTreeSet::new(),
    };
    let mut replaced = 0;
    for day in &before {
        if let Some(bytes) = lake.find(&file(day)).await? {
            replaced += parquet::row_count(bytes)?;
        }
    }
    let now: BTreeSet<String> = parts.keys().cloned().collect();
    put_record(lake, &record, &before.union(&now).cloned().collect()).await?;
    for (day, rows) in parts {
        parquet::write_batches(lake, &file(day), schema, rows, Some(batch)).await?;
    }
    for day in before.difference(&now) {
        lake.delete(&file(day)).await?;
    }
    put_record(lake, &record, &now).await?;
    let mut found = 0;
    for day in &now {
        found += parquet::row_count(lake.get(&file(day)).await?)?;
    }
    Ok(Loaded { found, replaced })
}

async fn put_record(lake: &Lake, key: &str, days: &BTreeSet<String>) -> Result<(), TaskError> {
    let text = serde_json::to_vec(days)
        .map_err(|error| TaskError::fail("BadTable", format!("the days of a batch are not JSON: {error}")))?;
    lake.put(key, text).await
}
