//! Statements on ClickHouse, which has no transactions: each is kept as begun and as done, so that a later attempt goes on after
//! the last one that was done.

use serde_json::json;
use updraft_task::{Context, TaskError};

use super::{SqlRunReport, Statement, StatementReport, report, whole};
use crate::clickhouse::Server;
use crate::clickhouse::bound::Bound;
use crate::clickhouse::text;
use crate::database::BAD_STATEMENT;
use crate::warehouse_load::WarehouseConnection;

pub(super) async fn on_clickhouse(
    name: &str,
    connection: &WarehouseConnection,
    statements: &[Statement],
    ctx: &Context,
) -> Result<SqlRunReport, TaskError> {
    let prepared = (0..).zip(statements).map(|(index, statement)| Prepared::new(index, statement));
    let prepared = prepared.collect::<Result<Vec<_>, _>>()?;
    let server = Server::of(name, connection, ctx)?;
    server.connect().await?;
    let mut reports = Vec::with_capacity(statements.len());
    let mut earlier = 0;
    for (index, prepared) in prepared.iter().enumerate() {
        let done = prepared.done(index, ctx).await?;
        let report = match done {
            Some(report) => {
                earlier += 1;
                ctx.info(format!("done by an earlier attempt: {}", report.statement));
                report
            }
            None => prepared.run(index, &server, ctx).await.map_err(|error| error.context(place(index)))?,
        };
        reports.push(report);
        ctx.progress(index as u64 + 1, Some(statements.len() as u64), "statements");
    }
    Ok(SqlRunReport { reused: earlier == statements.len(), ..whole(reports) })
}

fn place(index: usize) -> String {
    format!("statements[{index}]")
}

/// A statement, and what goes beside it.
struct Prepared {
    /// As it was written.
    written: String,
    bound: Bound,
    /// Nothing but words: PostgreSQL takes it, so that it is no error here either.
    empty: bool,
    repeatable: bool,
}

impl Prepared {
    fn new(index: usize, statement: &Statement) -> Result<Self, TaskError> {
        let (written, params) = statement.parts();
        let found = text::statements(written);
        if found.len() > 1 {
            return Err(TaskError::fail(
                BAD_STATEMENT.name,
                format!("{}: {} statements in one: write each as an entry of its own", place(index), found.len()),
            ));
        }
        let one = found.into_iter().next();
        let sql = one.as_ref().map_or("", |one| one.sql.as_str());
        let bound = Bound::new(sql, params).map_err(|error| error.context(place(index)))?;
        Ok(Self {
            written: written.to_owned(),
            bound,
            empty: one.is_none(),
            repeatable: one.is_none_or(|one| one.repeatable()),
        })
    }

    async fn done(&self, index: usize, ctx: &Context) -> Result<Option<StatementReport>, TaskError> {
        if self.empty {
            return Ok(None);
        }
        let Some(kept) = ctx.state().get(&format!("done.{index}")).await? else { return Ok(None) };
        serde_json::from_value(kept)
            .map(Some)
            .map_err(|error| TaskError::fail("BadState", format!("`done.{index}` does not read: {error}")))
    }

    async fn run(&self, index: usize, server: &Server, ctx: &Context) -> Result<StatementReport, TaskError> {
        if self.empty {
            return Ok(report(ctx, &self.written, 0));
        }
        let begun = format!("begun.{index}");
        if !self.repeatable {
            if ctx.state().get(&begun).await?.is_some() {
                return Err(TaskError::fail(
                    "Unknown",
                    "an earlier attempt was broken off while the server ran it, and ClickHouse does not say what became of it: \
                     look whether it was done, and run the rest by a task of its own",
                ));
            }
            ctx.state().put_once(&begun, json!({ "attempt": ctx.attempt().attempt_id })).await?;
        }
        // Of the workflow's author: this is what the task is for.
        let report = report(ctx, &self.written, server.run(&self.bound).await?);
        let value = serde_json::to_value(&report)
            .map_err(|error| TaskError::fail("BadState", format!("the report is not JSON: {error}")))?;
        ctx.state().put_once(&format!("done.{index}"), value).await?;
        Ok(report)
    }
}
