//! `warehouse.load`: rows of datasets into a table. Now: tables kept in the lake as Parquet, one file per batch and day.
//! Databases come with their own connections' engines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::{Array, BooleanArray, Date32Array};
use datafusion::arrow::compute::{cast, filter_record_batch};
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{
    ConnectionKind, ConnectionNeed, Context, Dataset, Effects, ErrorClass, Input, Lake, LakeConnection, Secret, Task,
    TaskError,
};

use crate::batch::{batch_id, day, slug};
use crate::parquet;

/// Engine behind a warehouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// Parquet files in the lake.
    Lake,
    /// ClickHouse (known, not in this version).
    Clickhouse,
    /// PostgreSQL (known, not in this version).
    Postgres,
}

/// Where tables are kept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WarehouseConnection {
    /// What keeps the tables.
    pub engine: Engine,
    /// Address or folder; for `lake` a folder or `s3://bucket/prefix` (the connection `lake` if left out).
    #[serde(default)]
    pub url: Option<String>,
    /// Password of a database.
    #[serde(default)]
    pub password: Option<Secret>,
}

impl ConnectionKind for WarehouseConnection {
    const KIND: &'static str = "warehouse";
    const SUMMARY: &'static str = "where tables are kept: Parquet in the lake";
}

impl WarehouseConnection {
    /// The lake that holds the tables.
    ///
    /// # Errors
    /// `fail` `BadConnection`: another engine, or a lake that cannot be opened.
    pub fn lake(&self, ctx: &Context) -> Result<Lake, TaskError> {
        match self.engine {
            Engine::Lake => {}
            Engine::Clickhouse | Engine::Postgres => {
                return Err(TaskError::fail(
                    "BadConnection",
                    format!(
                        "the warehouse's engine `{}` is known, not in this version; use `engine: lake`",
                        if self.engine == Engine::Postgres { "postgres" } else { "clickhouse" }
                    ),
                ));
            }
        }
        let Some(url) = &self.url else { return ctx.lake() };
        let mut connection = ctx.connection_named::<LakeConnection>(LakeConnection::KIND)?;
        connection.url.clone_from(url);
        Lake::open(&connection, &ctx.run().project_dir)
    }
}

/// How rows meet those that are there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The rows of each dataset's batch are replaced; other batches stay.
    #[default]
    ReplaceBatch,
}

/// Parameters of `warehouse.load`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Parquet datasets to load: one, a list, or a map of names to `{dataset}`.
    pub input: Input,
    /// Table: letters, digits and `_`.
    pub table: String,
    /// Column whose day (UTC) is the partition `dt=YYYY-MM-DD`: a timestamp or a date without nulls.
    #[serde(default = "snapshot_time")]
    pub partition_by: String,
    /// How rows meet those that are there.
    #[serde(default)]
    pub mode: Mode,
}

fn snapshot_time() -> String {
    "snapshot_time".to_owned()
}

/// Output of `warehouse.load`.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LoadReport {
    /// The table.
    pub table: String,
    /// Where it lies, in the warehouse's lake.
    pub location: String,
    /// Rows of the datasets.
    pub rows_in: u64,
    /// Rows of these batches found in the table afterwards, counted by reading it.
    pub inserted: u64,
    /// Rows of the same batches that an earlier load had left and that were replaced.
    pub replaced: u64,
    /// Files written.
    pub files: u64,
    /// Days written to (`YYYY-MM-DD`, the first 400).
    pub partitions: Vec<String>,
}

/// The task.
#[derive(Debug)]
pub struct WarehouseLoad;

impl Task for WarehouseLoad {
    const TYPE: &'static str = "warehouse.load";
    const SUMMARY: &'static str = "loads datasets into a table, replacing their batches";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Required(&["warehouse"]);
    const ERRORS: &'static [ErrorClass] = &[
        ErrorClass {
            name: "BadConnection",
            retryable: false,
            meaning: "the warehouse is not set up, or its engine is not in this version",
        },
        ErrorClass {
            name: "BadTable",
            retryable: false,
            meaning: "the table's name has other characters than letters, digits and `_`",
        },
        ErrorClass { name: "BadInput", retryable: false, meaning: "there is no dataset, or two of one batch" },
        ErrorClass {
            name: "BadPartition",
            retryable: false,
            meaning: "the partition column is missing, holds nulls or no time",
        },
        ErrorClass { name: "BadParquet", retryable: false, meaning: "a dataset is not Parquet or is broken" },
        ErrorClass { name: "CorruptDataset", retryable: false, meaning: "a dataset was changed after its task ended" },
        ErrorClass { name: "NotFound", retryable: false, meaning: "a dataset is gone" },
        ErrorClass { name: "LakeDenied", retryable: false, meaning: "the lake refuses access" },
        ErrorClass {
            name: "CountMismatch",
            retryable: true,
            meaning: "afterwards the table does not hold what was loaded",
        },
        ErrorClass { name: "Lake", retryable: true, meaning: "the lake cannot be reached" },
    ];
    const EXAMPLE: &'static str = r#"
- id: load_processed
  type: warehouse.load
  with:
    input: "{{ tasks.split_and_validate.output.regions }}"
    table: processed_flights
  depends_on: [split_and_validate]
"#;

    type Params = Params;
    type Output = LoadReport;

    async fn run(params: Params, ctx: &Context) -> Result<LoadReport, TaskError> {
        if params.table.is_empty() || !params.table.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(TaskError::fail(
                "BadTable",
                format!("`table: {}`: a table's name has letters, digits and `_` only", params.table),
            ));
        }
        match params.mode {
            Mode::ReplaceBatch => {}
        }
        let Params { input, table, partition_by, .. } = params;
        let warehouse = ctx.connection::<WarehouseConnection>()?.lake(ctx)?;
        let source = ctx.lake()?;
        let datasets = batches_of(&input, ctx)?;
        let mut report = LoadReport {
            location: format!("warehouse/{table}"),
            table,
            rows_in: 0,
            inserted: 0,
            replaced: 0,
            files: 0,
            partitions: Vec::new(),
        };
        let mut days = BTreeSet::new();
        for (index, (batch, dataset)) in datasets.iter().enumerate() {
            if ctx.cancelled().is_cancelled() {
                return Err(TaskError::cancelled());
            }
            let (schema, rows) = parquet::read_batches(&source, dataset).await?;
            let parts = by_day(&schema, &rows, &partition_by, &day(ctx.run().interval.start))
                .map_err(|error| error.context(format!("`{}`", dataset.uri)))?;
            let loaded = replace(&warehouse, &report.location, batch, &schema, &parts).await?;
            if loaded.found != dataset.rows {
                return Err(TaskError::retry(
                    "CountMismatch",
                    format!(
                        "batch `{batch}` has {} rows, but {} holds {} of them after loading",
                        dataset.rows, report.location, loaded.found
                    ),
                ));
            }
            ctx.info(format!(
                "{batch}: {} rows in {} file(s), {} replaced",
                loaded.found,
                parts.len(),
                loaded.replaced
            ));
            report.rows_in += dataset.rows;
            report.inserted += loaded.found;
            report.replaced += loaded.replaced;
            report.files += parts.len() as u64;
            days.extend(parts.into_keys());
            ctx.progress(index as u64 + 1, Some(datasets.len() as u64), "batches");
        }
        report.partitions = days.into_iter().take(400).collect();
        Ok(report)
    }
}

/// Datasets with their batch ids; a dataset that has none gets one from its name.
fn batches_of<'a>(input: &'a Input, ctx: &Context) -> Result<Vec<(String, &'a Dataset)>, TaskError> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (index, (name, dataset)) in input.datasets().into_iter().enumerate() {
        let id = dataset
            .batch_id
            .clone()
            .unwrap_or_else(|| batch_id(ctx.run(), name.map_or_else(|| index.to_string(), str::to_owned).as_str()));
        if !seen.insert(id.clone()) {
            return Err(TaskError::fail(
                "BadInput",
                format!("two datasets have the batch id `{id}`: the second would replace the first"),
            ));
        }
        found.push((id, dataset));
    }
    if found.is_empty() {
        return Err(TaskError::fail("BadInput", "`input` names no dataset: there is nothing to load"));
    }
    Ok(found)
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

#[cfg(test)]
mod tests;
