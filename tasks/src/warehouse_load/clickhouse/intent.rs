//! What is about to go into the table, written down before, so that it can be repeated to the letter.

use serde::Deserialize;
use updraft_task::TaskError;

use super::{Staged, Work, drop_table, list, literal, one_of_each, quoted, token};
use crate::clickhouse::table::remember_inserts;

/// Column that numbers an intent's rows from 0: blocks are cut by it.
const NUMBER: &str = "updraft_number";
/// Rows of a block. One block is one token; its rows are in the server's memory at once.
const BLOCK_ROWS: u64 = 200_000;

#[derive(Deserialize)]
struct Kept {
    token: String,
}

impl Work<'_> {
    /// Finishes what an earlier load of this batch has begun; says how many of its rows are among the staged ones.
    pub(super) async fn resume(&self, staged: &Staged) -> Result<u64, TaskError> {
        let Some(token) = self.kept().await? else { return Ok(0) };
        self.load.ctx.info("an earlier load of this batch was broken off: it is finished first");
        // Views may have been made since.
        remember_inserts(self.server, self.table).await?;
        let intent = quoted(&self.names.intent);
        let own = self
            .server
            .count(&format!("select count() from {intent} where ({}) in ({})", self.table.key, self.keys()))
            .await?;
        self.finish(&token).await.map_err(|error| {
            error.context(format!(
                "finishing an earlier load of this batch from the table `{}` (dropping it gives that load up)",
                self.names.intent
            ))
        })?;
        Ok(own.min(staged.distinct))
    }

    /// Writes down which rows the table lacks, and puts them in; says how many.
    pub(super) async fn put_in(&self, staged: &Staged) -> Result<u64, TaskError> {
        let (picked, token) = (quoted(&self.names.picked), token(self.load));
        self.server
            .execute(&format!(
                "create table {picked} ({}, {NUMBER} UInt64) engine = MergeTree order by {NUMBER} comment {}",
                super::columns(&staged.plan),
                literal(&token)
            ))
            .await?;
        let (key, names) = (&self.table.key, list(staged.plan.names()));
        let there = format!("select {key} from {} where {}", self.table.in_sql(), self.within());
        let lacking = one_of_each(self, &staged.plan, &format!("where ({key}) not in ({there})"));
        self.server
            .execute(&format!(
                "insert into {picked} ({names}, {NUMBER}) select {names}, rowNumberInAllBlocks() from ({lacking})"
            ))
            .await?;
        let rows = self.server.count(&format!("select count() from {picked}")).await?;
        if rows > 0 {
            // From here on the rows are put in, by whom ever.
            self.server.execute(&format!("rename table {picked} to {}", quoted(&self.names.intent))).await?;
            self.finish(&token).await?;
        }
        Ok(rows)
    }

    /// The token of the intent, if there is one.
    async fn kept(&self) -> Result<Option<String>, TaskError> {
        let kept: Vec<Kept> = self
            .server
            .rows(&format!(
                "select comment as token from system.tables where database = {} and name = {}",
                literal(self.server.database()),
                literal(&self.names.intent)
            ))
            .await?;
        Ok(kept.into_iter().next().map(|kept| kept.token))
    }

    /// Puts the intent's blocks into the table, each under its token, and drops the intent.
    async fn finish(&self, token: &str) -> Result<(), TaskError> {
        let intent = quoted(&self.names.intent);
        let columns = self
            .server
            .texts(&format!(
                "select name from system.columns where database = {} and table = {} and name != {} order by position",
                literal(self.server.database()),
                literal(&self.names.intent),
                literal(NUMBER)
            ))
            .await?;
        let columns = list(columns.iter().map(String::as_str));
        let rows = self.server.count(&format!("select count() from {intent}")).await?;
        // What is read is one block, and one block is what is written: in the table, and behind each view.
        let server = self
            .server
            .with("insert_deduplicate", "1")
            .with("deduplicate_blocks_in_dependent_materialized_views", "1")
            .with("materialized_views_ignore_errors", "0")
            .with("max_threads", "1")
            .with("max_insert_threads", "1")
            .with("min_insert_block_size_rows", &(BLOCK_ROWS * 2).to_string())
            .with("min_insert_block_size_bytes", "0");
        let server = deduplicating(server).await?;
        for from in (0..rows).step_by(usize::try_from(BLOCK_ROWS).unwrap_or(usize::MAX)) {
            let to = from + BLOCK_ROWS;
            server
                .with("insert_deduplication_token", &format!("{token}/{from}"))
                .execute(&format!(
                    "insert into {} ({columns}) select {columns} from {intent} where {NUMBER} >= {from} and {NUMBER} < {to}",
                    self.table.in_sql()
                ))
                .await?;
            self.load.ctx.progress(to.min(rows), Some(rows), "rows in the table");
        }
        drop_table(self.server, &self.names.intent).await
    }
}

/// Servers of late have more switches that a profile may have turned off, and refuse those that they do not know.
async fn deduplicating(server: crate::clickhouse::Server) -> Result<crate::clickhouse::Server, TaskError> {
    let known = server
        .texts("select name from system.settings where name in ('deduplicate_insert', 'deduplicate_insert_select')")
        .await?;
    Ok(known.iter().fold(server, |server, name| {
        let value = if name == "deduplicate_insert" { "enable" } else { "enable_when_possible" };
        server.with(name, value)
    }))
}
