//! Tables in ClickHouse, which has no transactions. Rows are brought into a table of this attempt; those whose key the table
//! lacks are written down in a table of this batch, the *intent*; only then they go into the table, in blocks that carry a
//! token each. Whoever comes after a load that was broken off finds the intent and repeats its blocks: what a block has left
//! in the table, and in each table that a view writes to, is there already under its token, and what it has not is put in.
//! So a view counts each row once, which it would not if only the rows still missing in the table were inserted again.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;
use updraft_task::TaskError;
use updraft_task::lake::sha256_hex;
use uuid::Uuid;

use super::rows::{opened, same_columns};
use super::{Load, Mode, TargetReport, WarehouseConnection};
use crate::clickhouse::Server;
use crate::clickhouse::table::{Table, remember_inserts};
use crate::clickhouse::text::{list, literal, quoted};
use crate::clickhouse::wire::{Plan, ROW, copy_in};
use crate::parquet;

mod intent;
mod replace;

/// Partitions that one load may need.
const MOST_PARTITIONS: u64 = 1_000;

/// Loads all batches.
pub(super) async fn load(connection: &WarehouseConnection, load: &Load<'_>) -> Result<TargetReport, TaskError> {
    let server = Server::of(load.connection, connection, load.ctx)?
        // Keys are compared as a table's order does: null is like null.
        .with("transform_null_in", "1")
        // A null is not to become a zero.
        .with("insert_null_as_default", "0")
        .with("input_format_null_as_default", "0")
        .with("max_partitions_per_insert_block", &MOST_PARTITIONS.to_string());
    server.connect().await?;
    let _turn = tokio::select! {
        biased;
        () = load.ctx.cancelled().cancelled() => return Err(TaskError::cancelled()),
        turn = turn(format!("{}.{}", server.shown(), load.table)) => turn,
    };
    let table = Table::find(&server, load.table).await?;
    let names = Names::of(load);
    names.tidy(&server).await?;
    let work = Work { server: &server, load, table: &table, names: &names };
    let done = match load.mode {
        Mode::ReplaceBatch => work.add(connection).await,
        Mode::ReplacePartition => work.replace_partitions(connection).await,
    };
    // An intent stays; what else is left after a failure goes now, or when the batch is loaded again.
    if let Err(error) = names.drop_own(&server.undisturbed()).await {
        load.ctx.warn(format!("tables of this attempt are left behind: {error}"));
    }
    done
}

/// Waits until no other load of this process is at the table: there is no lock in the server, and of two loads side by side each
/// would find the other's keys lacking.
async fn turn(table: String) -> OwnedMutexGuard<()> {
    static TURNS: LazyLock<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>> = LazyLock::new(Mutex::default);
    let turn = {
        let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        // Only those that somebody holds or waits for.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(table).or_default())
    };
    turn.lock_owned().await
}

/// Tables of ours in the database.
struct Names {
    /// Rows of the datasets, as they came; of this attempt.
    staged: String,
    /// Rows that are to go into the table, until they are known to be all; of this attempt.
    picked: String,
    /// Those rows, from then on until they are in; of this batch, whoever loads it.
    intent: String,
}

impl Names {
    fn of(load: &Load<'_>) -> Self {
        let mut text = load.table.to_owned();
        for batch in load.batches {
            text.push('\n');
            text.push_str(&batch.id);
        }
        let batch: String = sha256_hex(text.as_bytes()).chars().take(16).collect();
        let attempt = load.ctx.attempt().attempt_id.0.simple().to_string();
        let attempt = attempt.get(16..).unwrap_or(&attempt);
        Self {
            staged: format!("updraft_staged_{batch}_{attempt}"),
            picked: format!("updraft_picked_{batch}_{attempt}"),
            intent: format!("updraft_intent_{batch}"),
        }
    }

    /// What all attempts at this batch call their tables.
    fn prefixes(&self) -> [&str; 2] {
        [&self.staged, &self.picked].map(|name| name.rsplit_once('_').map_or(name.as_str(), |(prefix, _)| prefix))
    }

    /// Ends what attempts before this one have left running, and drops their tables. The intent stays.
    async fn tidy(&self, server: &Server) -> Result<(), TaskError> {
        for part in self.prefixes().into_iter().chain([self.intent.as_str()]) {
            server.kill_others(part).await?;
        }
        for prefix in self.prefixes() {
            let left = server
                .texts(&format!(
                    "select name from system.tables where database = {} and startsWith(name, {})",
                    literal(server.database()),
                    literal(prefix)
                ))
                .await?;
            for name in left {
                drop_table(server, &name).await?;
            }
        }
        Ok(())
    }

    async fn drop_own(&self, server: &Server) -> Result<(), TaskError> {
        drop_table(server, &self.staged).await?;
        drop_table(server, &self.picked).await
    }
}

async fn drop_table(server: &Server, name: &str) -> Result<(), TaskError> {
    server.execute(&format!("drop table if exists {} sync", quoted(name))).await
}

/// What a load works with.
struct Work<'a> {
    server: &'a Server,
    load: &'a Load<'a>,
    table: &'a Table,
    names: &'a Names,
}

/// What the staged rows are.
struct Staged {
    plan: Plan,
    /// Rows.
    sent: u64,
    /// Keys among them.
    distinct: u64,
    /// Partitions that they go to.
    partitions: Vec<String>,
}

impl Work<'_> {
    /// Adds the rows whose keys the table lacks.
    async fn add(&self, connection: &WarehouseConnection) -> Result<TargetReport, TaskError> {
        for name in remember_inserts(self.server, self.table).await? {
            self.load.ctx.info(format!("`{name}` remembers its inserts from now on"));
        }
        let mut report = self.load.report(connection.engine, self.location());
        let staged = self.stage().await?;
        let resumed = self.resume(&staged).await?;
        let fresh = self.put_in(&staged).await?;
        report.sent = staged.sent;
        report.ignored = staged.sent.saturating_sub(staged.distinct);
        report.inserted = resumed + fresh;
        report.already_there = staged.distinct.saturating_sub(report.inserted);
        report.rows_found = self.found().await?;
        report.partitions = staged.partitions;
        self.all_there(staged.distinct, report.rows_found)?;
        self.load.ctx.info(format!(
            "{}: {} rows sent, {} inserted, {} already there, {} doubles left out",
            report.location, report.sent, report.inserted, report.already_there, report.ignored
        ));
        Ok(report)
    }

    fn location(&self) -> String {
        format!("{}.{}", self.server.shown(), self.table.name)
    }

    /// Brings all batches into a table of this attempt, whose columns have the types of the table's.
    async fn stage(&self) -> Result<Staged, TaskError> {
        let (ctx, lake) = (self.load.ctx, self.load.ctx.lake()?);
        let mut first: Option<Plan> = None;
        let mut sent = 0;
        // Parts are written before they are large, so that the server's memory does not grow with the rows.
        let server =
            self.server.with("min_insert_block_size_rows", "200000").with("min_insert_block_size_bytes", "67108864");
        for (index, batch) in self.load.batches.iter().enumerate() {
            let file = ctx.scratch_dir()?.join(format!("{}-{index}.parquet", self.load.connection));
            let rows = opened(ctx, &lake, batch.dataset, &file).await?;
            let plan = Plan::new(&*parquet::copy_schema(&file)?, self.table)
                .map_err(|error| error.context(format!("`{}`", batch.dataset.uri)))?;
            match &first {
                None => {
                    self.server.execute(&self.make_staged(&plan)).await?;
                    first = Some(plan.clone());
                }
                Some(first) => same_columns(first.names(), plan.names(), batch.dataset)?,
            }
            sent += copy_in(&server, ctx, &self.names.staged, &plan, sent, rows)
                .await
                .map_err(|error| error.context(format!("`{}`", batch.dataset.uri)))?;
            // Only so much disk is used as the largest dataset needs.
            let _ = tokio::fs::remove_file(&file).await;
        }
        let Some(plan) = first else { return Err(TaskError::fail("BadInput", "there is no dataset to load")) };
        let distinct = self.server.count(&format!("select count() from ({})", self.keys())).await?;
        Ok(Staged { plan, sent, distinct, partitions: self.partitions().await? })
    }

    fn make_staged(&self, plan: &Plan) -> String {
        format!(
            "create table {} ({}, {} UInt64) engine = MergeTree order by ({}, {}) settings allow_nullable_key = 1",
            quoted(&self.names.staged),
            columns(plan),
            quoted(ROW),
            self.table.key,
            quoted(ROW)
        )
    }

    /// The staged rows' keys, each once.
    fn keys(&self) -> String {
        format!("select distinct {} from {}", self.table.key, quoted(&self.names.staged))
    }

    /// Where rows of the table may have a staged row's key: whatever lies outside is not read.
    fn within(&self) -> String {
        let ordered = |data_type: &str| ["Date", "Int", "UInt"].iter().any(|start| data_type.starts_with(start));
        let mut within = format!("({}) in ({})", self.table.key, self.keys());
        // Of a key's expression (`toDate(at)`) the same value may come of an `at` that lies outside.
        let plain = self.table.columns.iter().filter(|column| self.table.orders_by(&column.name));
        for column in plain.filter(|column| ordered(&column.data_type)) {
            let (name, staged) = (quoted(&column.name), quoted(&self.names.staged));
            within = format!(
                "{name} >= (select min({name}) from {staged}) and {name} <= (select max({name}) from {staged}) and {within}"
            );
        }
        within
    }

    /// Partitions of the staged rows (the first 400).
    async fn partitions(&self) -> Result<Vec<String>, TaskError> {
        if self.table.partition.is_empty() {
            return Ok(Vec::new());
        }
        let of =
            format!("select distinct toString(({})) as p from {}", self.table.partition, quoted(&self.names.staged));
        let count = self.server.count(&format!("select count() from ({of})")).await?;
        if count > MOST_PARTITIONS {
            return Err(TaskError::fail(
                "BadPartition",
                format!(
                    "the rows lie in {count} partitions by `{}`, more than {MOST_PARTITIONS}: are all of its values right? \
                     Load less at once, or cut the table into larger partitions",
                    self.table.partition
                ),
            ));
        }
        self.server.texts(&format!("select p from ({of}) order by p limit 400")).await
    }

    /// Staged keys that the table holds.
    async fn found(&self) -> Result<u64, TaskError> {
        let (key, merged) = (&self.table.key, self.table.merged());
        let sql = format!("select count() from (select distinct {key} from {merged} where {})", self.within());
        self.server.count(&sql).await
    }

    fn all_there(&self, distinct: u64, found: u64) -> Result<(), TaskError> {
        if found == distinct {
            return Ok(());
        }
        Err(TaskError::retry(
            "CountMismatch",
            format!(
                "{distinct} distinct keys were sent, but {} holds {found} of them after loading: somebody else removes rows, \
                 or they are older than the table's TTL keeps them",
                self.location()
            ),
        ))
    }
}

/// Columns with the table's types.
fn columns(plan: &Plan) -> String {
    plan.columns
        .iter()
        .map(|column| format!("{} {}", quoted(&column.name), column.data_type))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A name for what one load puts in: blocks that are repeated carry the same, those of another load never do.
fn token(load: &Load<'_>) -> String {
    let sums: Vec<&str> = load.batches.iter().map(|batch| batch.dataset.sha256.as_str()).collect();
    let sums: String = sha256_hex(sums.join("\n").as_bytes()).chars().take(16).collect();
    let batch = load.batches.first().map_or("", |batch| batch.id.as_str());
    format!("{batch}/{sums}/{}", Uuid::new_v4().simple())
}

/// One row of each key, in the order of the datasets.
fn one_of_each(work: &Work<'_>, plan: &Plan, condition: &str) -> String {
    format!(
        "select {names} from {staged} {condition} order by {key}, {row} limit 1 by {key}",
        names = list(plan.names()),
        staged = quoted(&work.names.staged),
        key = work.table.key,
        row = quoted(ROW),
    )
}

#[cfg(test)]
mod tests;
