//! `warehouse.clean`: what the databases behind a connection keep for longer than they should: PostgreSQL's partitions and rows past
//! their age, rows that ClickHouse's TTL should have removed, WAL that replication slots hold. It lists; it removes only when told
//! so, and slots never.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{ConnectionNeed, Context, Effects, ErrorClass, Task, TaskError};

use crate::database::{BAD_COLUMN, BAD_CONNECTION, BAD_STATEMENT, DENIED, WAREHOUSE};
use crate::warehouse_load::{Engine, warehouses};

mod clickhouse;
mod postgres;
#[cfg(test)]
mod tests;

/// Partitions of a table that the output names.
const NAMED: usize = 400;

/// How long rows of a table stay.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableRetention {
    /// A table, by the name that workflows use.
    pub table: String,
    /// Its column that says how old a row is: a time or a date. Of a partitioned table that of its partitions, which go as a whole.
    pub column: String,
    /// Days that stay, before today's (UTC).
    #[schemars(range(min = 1))]
    pub days: u32,
}

/// Parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CleanParams {
    /// Only lists. Nothing is removed unless this is `false`.
    #[serde(default = "yes")]
    pub dry_run: bool,
    /// Retention of PostgreSQL's tables. In ClickHouse tables say it themselves (`TTL`); whether that took effect is looked at.
    #[serde(default)]
    pub retention: Vec<TableRetention>,
    /// ClickHouse removes what is past a TTL when it merges: rows that are still there so many days later are overdue.
    #[serde(default = "two")]
    pub ttl_grace_days: u32,
    /// WAL that a replication slot may hold back before it is warned of, in MiB.
    #[serde(default = "a_gibibyte")]
    pub slot_warn_mib: u64,
}

const fn yes() -> bool {
    true
}

const fn two() -> u32 {
    2
}

const fn a_gibibyte() -> u64 {
    1_024
}

/// What was found in a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TableCleanup {
    /// The table, by its name there.
    pub table: String,
    /// What is past: `COLUMN < INSTANT`, or ClickHouse's TTL.
    pub rule: String,
    /// Partitions that are past as a whole, the first 400.
    pub partitions: Vec<String>,
    /// Rows that are past.
    pub rows: u64,
    /// Rows removed by this attempt.
    pub removed: u64,
}

/// A replication slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Whether somebody reads it now.
    pub active: bool,
    /// WAL that it holds back, in bytes.
    pub retained_bytes: u64,
}

/// What was found in a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TargetCleanup {
    /// Name of the connection.
    pub connection: String,
    /// What it is.
    pub engine: Engine,
    /// Its tables.
    pub tables: Vec<TableCleanup>,
    /// PostgreSQL's replication slots.
    pub slots: Vec<Slot>,
}

/// Output.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WarehouseCleanReport {
    /// Whether it was only listed.
    pub dry_run: bool,
    /// Rows that are past, of all tables.
    pub rows: u64,
    /// Rows removed by this attempt.
    pub removed: u64,
    /// Each database.
    pub targets: Vec<TargetCleanup>,
}

/// The task.
#[derive(Debug)]
pub struct WarehouseClean;

impl Task for WarehouseClean {
    const TYPE: &'static str = "warehouse.clean";
    const SUMMARY: &'static str = "lists what databases keep for longer than they should, and removes it when told so";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Optional(&["warehouse", "group"]);
    const ERRORS: &'static [ErrorClass] = &[
        BAD_CONNECTION,
        WAREHOUSE,
        DENIED,
        BAD_STATEMENT,
        BAD_COLUMN,
        ErrorClass { name: "BadTable", retryable: false, meaning: "a table is not there, is a view, or has no key" },
    ];
    const EXAMPLE: &'static str = "- id: clean_databases\n  type: warehouse.clean\n  conn: warehouse\n  with:\n    dry_run: true\n    retention:\n      - {table: processed_flights, column: last_contact, days: 7}\n";
    type Params = CleanParams;
    type Output = WarehouseCleanReport;

    async fn run(params: CleanParams, ctx: &Context) -> Result<WarehouseCleanReport, TaskError> {
        let name = ctx.connection_name().unwrap_or("warehouse");
        let mut targets = Vec::new();
        for (name, connection) in &warehouses(ctx, name)? {
            let found = match connection.engine {
                Engine::Lake => continue,
                Engine::Postgres => postgres::clean(ctx, name, connection, &params).await,
                Engine::Clickhouse => clickhouse::clean(ctx, name, connection, &params).await,
            };
            targets.push(found.map_err(|error| error.context(format!("connection `{name}`")))?);
        }
        if targets.is_empty() {
            return Err(TaskError::skip(format!(
                "nothing behind the connection `{name}` is a database; tables of the lake are `lake.clean`'s"
            )));
        }
        let tables = || targets.iter().flat_map(|target: &TargetCleanup| &target.tables);
        let report = WarehouseCleanReport {
            dry_run: params.dry_run,
            rows: tables().map(|table| table.rows).sum(),
            removed: tables().map(|table| table.removed).sum(),
            targets,
        };
        if params.dry_run {
            ctx.info(format!("dry run: {} rows are past, nothing is removed", report.rows));
        }
        Ok(report)
    }
}

/// Says what was found in a table.
fn tell(ctx: &Context, name: &str, found: &TableCleanup) {
    ctx.info(format!(
        "{name}: {} rows of {} are past ({}), {} removed",
        found.rows, found.table, found.rule, found.removed
    ));
}
