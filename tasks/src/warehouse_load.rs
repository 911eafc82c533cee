//! `warehouse.load`: rows of datasets into a table of a warehouse, or of each warehouse of a group. One module per engine,
//! each with `load(connection, load) -> TargetReport`.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{ConnectionNeed, Context, Dataset, Effects, ErrorClass, Input, Task, TaskError, Verdict};

use crate::batch;
use crate::database::{BAD_COLUMN, BAD_CONNECTION, BAD_STATEMENT, DENIED, ROW_REFUSED, WAREHOUSE};
use crate::query::SCRATCH;
use crate::text::named_plainly;

mod clickhouse;
mod connection;
mod lake;
mod postgres;
mod rows;

pub use connection::{Engine, Group, WarehouseConnection};
pub(crate) use connection::{databases_of, warehouses};

/// How rows meet those that are there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The rows of each dataset's batch are replaced in the lake; other batches stay. In PostgreSQL rows are told apart by the
    /// table's primary key, in ClickHouse by its sorting key, and those that are there stay.
    #[default]
    ReplaceBatch,
    /// In ClickHouse and the lake each partition that the rows lie in holds exactly these rows afterwards, for loads of whole
    /// days. In PostgreSQL rows whose key is there stay, as above.
    ReplacePartition,
}

/// Parameters of `warehouse.load`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Parquet datasets to load: one, a list, or a map of names to `{dataset}`.
    pub input: Input,
    /// Table: letters, digits and `_`.
    pub table: String,
    /// Column whose day (UTC) is the partition `dt=YYYY-MM-DD` in the lake: a timestamp or a date without nulls. A table of a
    /// database says itself how it is partitioned.
    #[serde(default = "snapshot_time")]
    pub partition_by: String,
    /// How rows meet those that are there.
    #[serde(default)]
    pub mode: Mode,
}

fn snapshot_time() -> String {
    "snapshot_time".to_owned()
}

/// What one warehouse took. `sent` = `inserted` + `already_there` + `ignored`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetReport {
    /// Name of its connection.
    pub connection: String,
    /// Its engine.
    pub engine: Engine,
    /// Where the table lies there.
    pub location: String,
    /// Rows of the datasets.
    pub sent: u64,
    /// Rows that this load put in (of the lake: also in place of replaced ones).
    pub inserted: u64,
    /// Rows left out because the table held their key.
    pub already_there: u64,
    /// Rows among these that got what a list of the table lacked (PostgreSQL: `regions` of `region`).
    #[serde(default)]
    pub updated: u64,
    /// Rows left out because another row of the same batch has their key.
    pub ignored: u64,
    /// Rows of the same batches that an earlier load had left and that were replaced.
    pub replaced: u64,
    /// Rows of these batches found in the table afterwards, by key, counted by reading it.
    pub rows_found: u64,
    /// Files written; 0 for a database.
    pub files: u64,
    /// Days or partitions written to (the first 400).
    pub partitions: Vec<String>,
    /// Complete since an earlier attempt of this task run, and not loaded again.
    pub reused: bool,
}

/// Output of `warehouse.load`. Of a group, numbers at the top are of the member that holds the fewest rows.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LoadReport {
    /// The table, as the workflow names it.
    pub table: String,
    /// Where it lies.
    pub location: String,
    /// Rows of the datasets.
    pub rows_in: u64,
    /// Rows of these batches found in the table afterwards, counted by reading it.
    pub inserted: u64,
    /// Rows of the same batches that an earlier load had left and that were replaced.
    pub replaced: u64,
    /// Files written.
    pub files: u64,
    /// Days or partitions written to (the first 400).
    pub partitions: Vec<String>,
    /// Each warehouse, in the order of the group.
    pub targets: Vec<TargetReport>,
}

/// A dataset and the batch that it is.
pub(crate) struct Batch<'a> {
    /// Equal in every run of one interval.
    pub id: String,
    /// Its rows.
    pub dataset: &'a Dataset,
}

/// What an engine loads.
pub(crate) struct Load<'a> {
    /// The attempt: log, cancellation, the lake that holds the datasets.
    pub ctx: &'a Context,
    /// Name of the connection.
    pub connection: &'a str,
    /// The table's name in this warehouse: letters, digits and `_`.
    pub table: &'a str,
    /// Column of the partition, for engines whose tables do not tell.
    pub partition_by: &'a str,
    /// How rows meet those that are there.
    pub mode: Mode,
    /// At least one; no id twice.
    pub batches: &'a [Batch<'a>],
}

impl Load<'_> {
    /// A report of nothing done yet.
    fn report(&self, engine: Engine, location: String) -> TargetReport {
        TargetReport {
            connection: self.connection.to_owned(),
            engine,
            location,
            sent: 0,
            inserted: 0,
            already_there: 0,
            updated: 0,
            ignored: 0,
            replaced: 0,
            rows_found: 0,
            files: 0,
            partitions: Vec::new(),
            reused: false,
        }
    }
}

/// The task.
#[derive(Debug)]
pub struct WarehouseLoad;

impl Task for WarehouseLoad {
    const TYPE: &'static str = "warehouse.load";
    const SUMMARY: &'static str = "loads datasets into a table; the same batch again changes nothing";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Required(&["warehouse", "group"]);
    const ERRORS: &'static [ErrorClass] = &[
        BAD_CONNECTION,
        WAREHOUSE,
        DENIED,
        BAD_STATEMENT,
        BAD_COLUMN,
        ROW_REFUSED,
        SCRATCH,
        ErrorClass {
            name: "BadTable",
            retryable: false,
            meaning: "the table's name has other characters than letters, digits and `_`; in a database it is not there or \
                      has no primary (ClickHouse: sorting) key",
        },
        ErrorClass { name: "BadInput", retryable: false, meaning: "there is no dataset, or two of one batch" },
        ErrorClass {
            name: "BadPartition",
            retryable: false,
            meaning: "the partition column is missing, holds nulls or no time, or its rows need too many partitions",
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
        ErrorClass {
            name: "BadState",
            retryable: false,
            meaning: "what an earlier attempt kept of its loads does not read",
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
        let Params { input, table, partition_by, mode } = params;
        named_plainly(&table)?;
        let name = ctx.connection_name().unwrap_or("warehouse");
        let warehouses = warehouses(ctx, name)?;
        let input = input.resolved(&ctx.lake()?).await?;
        let batches = batches_of(&input, ctx)?;
        let targets = into_each(ctx, &warehouses, &table, &partition_by, mode, &batches).await?;
        Ok(summary(table, targets))
    }
}

/// Loads each warehouse, also after one that failed: what the others hold is not loaded again.
///
/// # Errors
/// Of those that failed the first, one that needs no further try before others; as the engines'.
pub(crate) async fn into_each(
    ctx: &Context,
    warehouses: &[(String, WarehouseConnection)],
    table: &str,
    partition_by: &str,
    mode: Mode,
    batches: &[Batch<'_>],
) -> Result<Vec<TargetReport>, TaskError> {
    let mut targets = Vec::with_capacity(warehouses.len());
    let mut failed: Option<TaskError> = None;
    for (name, connection) in warehouses {
        let table = connection.table(table);
        named_plainly(table)?;
        let load = Load { ctx, connection: name, table, partition_by, mode, batches };
        match once(connection, &load, warehouses.len() > 1).await {
            Ok(report) => targets.push(report),
            Err(error) if warehouses.len() == 1 || ctx.cancelled().is_cancelled() => return Err(error),
            Err(error) => {
                let error = error.context(format!("warehouse `{name}`"));
                ctx.error(error.message());
                if failed.as_ref().is_none_or(|first| retryable(first) && !retryable(&error)) {
                    failed = Some(error);
                }
            }
        }
    }
    failed.map_or(Ok(targets), Err)
}

fn retryable(error: &TaskError) -> bool {
    matches!(error.verdict(), Verdict::Retry { .. })
}

/// Loads a warehouse, or, in a group, takes over what an earlier attempt completed.
async fn once(connection: &WarehouseConnection, load: &Load<'_>, grouped: bool) -> Result<TargetReport, TaskError> {
    let state = format!("loaded.{}", load.connection);
    if grouped && let Some(done) = load.ctx.state().get(&state).await? {
        let report: TargetReport = serde_json::from_value(done)
            .map_err(|error| TaskError::fail("BadState", format!("`{state}` does not read: {error}")))?;
        load.ctx.info(format!("{}: complete since an earlier attempt", load.connection));
        return Ok(TargetReport { reused: true, ..report });
    }
    let report = match connection.engine {
        Engine::Lake => lake::load(connection, load).await,
        Engine::Clickhouse => clickhouse::load(connection, load).await,
        Engine::Postgres => postgres::load(connection, load).await,
    }?;
    if grouped {
        let value = serde_json::to_value(&report)
            .map_err(|error| TaskError::fail("BadState", format!("the report is not JSON: {error}")))?;
        load.ctx.state().put_once(&state, value).await?;
    }
    Ok(report)
}

fn summary(table: String, targets: Vec<TargetReport>) -> LoadReport {
    let fewest = targets.iter().min_by_key(|target| target.rows_found);
    LoadReport {
        table,
        location: fewest.map(|target| target.location.clone()).unwrap_or_default(),
        rows_in: fewest.map_or(0, |target| target.sent),
        inserted: fewest.map_or(0, |target| target.rows_found),
        replaced: fewest.map_or(0, |target| target.replaced),
        files: fewest.map_or(0, |target| target.files),
        partitions: fewest.map(|target| target.partitions.clone()).unwrap_or_default(),
        targets,
    }
}

/// Datasets with their batch ids; a dataset that has none gets one from its name.
fn batches_of<'a>(input: &'a Input, ctx: &Context) -> Result<Vec<Batch<'a>>, TaskError> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (index, (name, dataset)) in input.datasets().into_iter().enumerate() {
        let id = batch::of_dataset(ctx.run(), index, name, dataset);
        if !seen.insert(id.clone()) {
            return Err(TaskError::fail(
                "BadInput",
                format!("two datasets have the batch id `{id}`: the second would replace the first"),
            ));
        }
        found.push(Batch { id, dataset });
    }
    if found.is_empty() {
        return Err(TaskError::fail("BadInput", "`input` names no dataset: there is nothing to load"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod throughput;
