//! `sql.run`: statements on a warehouse, in one transaction where it has transactions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use updraft_task::{ConnectionNeed, Context, Effects, ErrorClass, Task, TaskError};

use crate::database::{BAD_CONNECTION, BAD_PARAM, BAD_STATEMENT, DENIED, ROW_REFUSED, WAREHOUSE};
use crate::postgres::text::transaction_control;
use crate::postgres::{Server, Session, bind};
use crate::query::{MEMORY_LIMIT, QUERY_FAILED, SCRATCH};
use crate::sql_lake::LakeTables;
use crate::warehouse_load::{Engine, WarehouseConnection};

mod clickhouse;

/// Statements of one task: their reports are part of the output, which has a limit.
const MOST_STATEMENTS: usize = 500;

/// A statement, alone or with parameters.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a statement, or `{sql, params}`")]
pub enum Statement {
    /// A statement without parameters.
    Text(String),
    /// A statement with parameters.
    Bound(Bound),
}

/// A statement with parameters.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// The statement, with `$1`, `$2`, … where values go.
    pub sql: String,
    /// The values. They are bound, never pasted into the text: put what comes from elsewhere here and not into `sql`.
    #[serde(default)]
    pub params: Vec<Value>,
}

impl Statement {
    fn parts(&self) -> (&str, &[Value]) {
        match self {
            Self::Text(sql) => (sql, &[]),
            Self::Bound(bound) => (&bound.sql, &bound.params),
        }
    }
}

/// Parameters of `sql.run`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunParams {
    /// Statements in their order, at most 500; one statement each. On PostgreSQL they are one transaction: all of them are
    /// done, or none. ClickHouse has no transactions: a later attempt goes on after the last one that was done.
    pub statements: Vec<Statement>,
}

/// What a statement did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatementReport {
    /// Its first words.
    pub statement: String,
    /// Rows that it changed, or, of a query, gave.
    pub rows: u64,
}

/// Output of `sql.run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SqlRunReport {
    /// Rows of all statements.
    pub rows: u64,
    /// Each statement, in order.
    pub statements: Vec<StatementReport>,
    /// Committed by an earlier attempt of this task run, whose report this is; on ClickHouse, each statement was done by one.
    #[serde(default)]
    pub reused: bool,
}

/// The task.
#[derive(Debug)]
pub struct SqlRun;

impl Task for SqlRun {
    const TYPE: &'static str = "sql.run";
    const SUMMARY: &'static str =
        "runs statements: on PostgreSQL in one transaction, on ClickHouse each once, on the lake queries";
    const EFFECTS: Effects = Effects::ExactlyOnce;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Required(&["warehouse"]);
    const ERRORS: &'static [ErrorClass] = &[
        BAD_CONNECTION,
        WAREHOUSE,
        DENIED,
        BAD_STATEMENT,
        BAD_PARAM,
        ROW_REFUSED,
        MEMORY_LIMIT,
        QUERY_FAILED,
        SCRATCH,
        ErrorClass {
            name: "Unknown",
            retryable: false,
            meaning: "an earlier attempt lost the answer to its commit (ClickHouse: to a statement that cannot be repeated), and \
                      the database no longer says what became of it",
        },
        ErrorClass {
            name: "BadState",
            retryable: false,
            meaning: "what an earlier attempt kept of its commit does not read",
        },
        ErrorClass { name: "BadInput", retryable: false, meaning: "a table of the lake cannot be read" },
        ErrorClass { name: "NotFound", retryable: false, meaning: "a file of the lake is gone" },
        ErrorClass { name: "LakeDenied", retryable: false, meaning: "the lake refuses access" },
        ErrorClass { name: "Lake", retryable: true, meaning: "the lake cannot be reached" },
    ];
    const EXAMPLE: &'static str = r#"
- id: forget_old_credits
  type: sql.run
  conn: postgres
  with:
    statements:
      - sql: delete from api_credit_ledger where at < $1
        params: ["{{ data_interval_start }}"]
      - analyze api_credit_ledger
"#;

    type Params = RunParams;
    type Output = SqlRunReport;

    async fn run(params: RunParams, ctx: &Context) -> Result<SqlRunReport, TaskError> {
        let statements = params.statements;
        if statements.is_empty() || statements.len() > MOST_STATEMENTS {
            return Err(TaskError::fail(
                BAD_STATEMENT.name,
                format!("`statements` has {} entries: 1 to {MOST_STATEMENTS} are needed", statements.len()),
            ));
        }
        let name = ctx.connection_name().unwrap_or("warehouse");
        let connection: WarehouseConnection = ctx.connection_named(name)?;
        match connection.engine {
            Engine::Lake => on_lake(&connection, &statements, ctx).await,
            Engine::Postgres => on_postgres(name, &connection, &statements, ctx).await,
            Engine::Clickhouse => clickhouse::on_clickhouse(name, &connection, &statements, ctx).await,
        }
    }
}

async fn on_lake(
    connection: &WarehouseConnection,
    statements: &[Statement],
    ctx: &Context,
) -> Result<SqlRunReport, TaskError> {
    let mut tables = LakeTables::open(ctx, connection)?;
    let mut reports = Vec::with_capacity(statements.len());
    for (index, statement) in statements.iter().enumerate() {
        let (sql, params) = statement.parts();
        let done = async {
            let frame = tables.plan(sql, params).await?;
            tables.rows(frame).await
        };
        let rows = done.await.map_err(|error| error.context(format!("statements[{index}]")))?;
        reports.push(report(ctx, sql, rows));
    }
    Ok(whole(reports))
}

async fn on_postgres(
    name: &str,
    connection: &WarehouseConnection,
    statements: &[Statement],
    ctx: &Context,
) -> Result<SqlRunReport, TaskError> {
    for (index, statement) in statements.iter().enumerate() {
        if let Some((words, _)) = transaction_control(statement.parts().0) {
            return Err(TaskError::fail(
                BAD_STATEMENT.name,
                format!("statements[{index}]: `{words}`: the statements are one transaction already; remove it"),
            ));
        }
    }
    let server = Server::of(name, connection, ctx)?;
    let mut session = server.connect(ctx).await?;
    if let Some(earlier) = committed(&mut session, ctx).await? {
        session.close().await;
        ctx.info("committed by an earlier attempt, which lost the answer");
        return Ok(SqlRunReport { reused: true, ..earlier });
    }
    session.execute("begin").await?;
    let mut reports = Vec::with_capacity(statements.len());
    for (index, statement) in statements.iter().enumerate() {
        let (sql, params) = statement.parts();
        let rows =
            execute(&mut session, sql, params).await.map_err(|error| error.context(format!("statements[{index}]")))?;
        reports.push(report(ctx, sql, rows));
        ctx.progress(index as u64 + 1, Some(statements.len() as u64), "statements");
    }
    let report = whole(reports);
    keep(&mut session, ctx, &report).await?;
    session.execute("commit").await?;
    session.close().await;
    Ok(report)
}

async fn execute(session: &mut Session, sql: &str, params: &[Value]) -> Result<u64, TaskError> {
    let arguments = bind(session, sql, params).await?;
    let Session { connection, stop } = session;
    // Of the workflow's author: this is what the task is for.
    let done = sqlx::query_with(AssertSqlSafe(sql), arguments).execute(connection);
    Ok(stop.during(sql, done).await?.rows_affected())
}

fn kept_name(attempt: u64) -> String {
    format!("commit.{attempt}")
}

/// Before a commit: the transaction's id and what it did. If the answer to the commit is lost, the next attempt asks the
/// database what became of it.
async fn keep(session: &mut Session, ctx: &Context, report: &SqlRunReport) -> Result<(), TaskError> {
    let Session { connection, stop } = session;
    let id: Option<i64> =
        stop.during("", sqlx::query_scalar("select txid_current_if_assigned()").fetch_one(connection)).await?;
    // It has written nothing, so that it may well run again.
    let Some(id) = id else { return Ok(()) };
    let state = ctx.state();
    let mut number = 1;
    while state.get(&kept_name(number)).await?.is_some() {
        number += 1;
    }
    // Reports of many statements need not fit: their sum is what a later attempt says then.
    let text = serde_json::to_string(report).map_or(usize::MAX, |text| text.len());
    let short = SqlRunReport { statements: Vec::new(), ..report.clone() };
    let kept = if text < 12 * 1024 { report } else { &short };
    state.put_once(&kept_name(number), json!({ "transaction": id, "report": kept })).await?;
    Ok(())
}

#[derive(Deserialize)]
struct Kept {
    transaction: i64,
    report: SqlRunReport,
}

/// The report of an attempt before this one whose transaction was committed.
async fn committed(session: &mut Session, ctx: &Context) -> Result<Option<SqlRunReport>, TaskError> {
    for number in 1.. {
        let Some(value) = ctx.state().get(&kept_name(number)).await? else { break };
        let kept: Kept = serde_json::from_value(value)
            .map_err(|error| TaskError::fail("BadState", format!("`{}` does not read: {error}", kept_name(number))))?;
        let Session { connection, stop } = &mut *session;
        let became: Option<String> = stop
            .during("", sqlx::query_scalar("select txid_status($1)").bind(kept.transaction).fetch_one(connection))
            .await?;
        match became.as_deref() {
            Some("committed") => return Ok(Some(kept.report)),
            Some("aborted") => {}
            Some(_) => {
                return Err(TaskError::retry(
                    WAREHOUSE.name,
                    "the transaction of an earlier attempt is still in progress in the database",
                ));
            }
            None => {
                return Err(TaskError::fail(
                    "Unknown",
                    format!(
                        "an earlier attempt lost the answer to the commit of transaction {}, which is so long ago that \
                         PostgreSQL does not know it any more: look whether the statements were done",
                        kept.transaction
                    ),
                ));
            }
        }
    }
    Ok(None)
}

fn report(ctx: &Context, sql: &str, rows: u64) -> StatementReport {
    let words = first_words(sql);
    ctx.info(format!("{rows} rows: {words}"));
    StatementReport { statement: words, rows }
}

fn whole(statements: Vec<StatementReport>) -> SqlRunReport {
    SqlRunReport { rows: statements.iter().map(|statement| statement.rows).sum(), statements, reused: false }
}

/// At most 60 characters, on one line.
pub(crate) fn first_words(sql: &str) -> String {
    let line = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = line.chars().take(60).collect();
    if cut.len() < line.len() { format!("{cut}…") } else { cut }
}

#[cfg(test)]
mod tests;
