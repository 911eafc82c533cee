//! `sql.check`: queries on a warehouse that must give no rows, or a number within bounds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::AssertSqlSafe;
use updraft_task::{ConnectionNeed, Context, Effects, ErrorClass, Task, TaskError, TaskItem};

use crate::clickhouse;
use crate::clickhouse::bound::Bound;
use crate::database::{BAD_CONNECTION, BAD_PARAM, BAD_STATEMENT, DENIED, ROW_REFUSED, WAREHOUSE};
use crate::postgres::{Server, Session, bind};
use crate::quality::{Limit, Limits, Severity, State, judge};
use crate::query::{MEMORY_LIMIT, QUERY_FAILED, SCRATCH};
use crate::sql_lake::LakeTables;
use crate::sql_run::first_words;
use crate::warehouse_load::{Engine, WarehouseConnection, warehouses};

/// Checks of one task: their results are part of the output, which has a limit.
const MOST_CHECKS: usize = 200;

/// A check.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Name in results; the first words of `sql` if left out.
    #[serde(default)]
    pub name: Option<String>,
    /// One query. Without `warn` and `error` it must give no rows; with one of them it gives one row, whose first column is
    /// the number that is judged.
    pub sql: String,
    /// Values for `$1`, `$2`, …: bound, never pasted into the text.
    #[serde(default)]
    pub params: Vec<Value>,
    /// What rows mean, where none are expected; `error` if left out.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// Warn if the number is beyond this.
    #[serde(default)]
    pub warn: Option<Limit>,
    /// Fail if the number is beyond this.
    #[serde(default)]
    pub error: Option<Limit>,
}

/// Parameters of `sql.check`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckParams {
    /// The checks, at most 200. All of them run, on PostgreSQL on one snapshot, and may only read.
    pub checks: Vec<Check>,
}

/// What a check says.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CheckResult {
    /// Its name; of a group's members after `MEMBER: `.
    pub name: String,
    /// What it says.
    pub state: State,
    /// Rows found, or the query's number; null if there was none, which breaks the check.
    pub observed: Option<f64>,
    /// The limit that decided, in the same unit.
    pub threshold: Option<f64>,
    /// The worst that breaking it means.
    pub severity: Severity,
}

/// Output of `sql.check`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CheckReport {
    /// Checks that passed.
    pub passed: u64,
    /// Checks that warned.
    pub warned: u64,
    /// Checks that failed (0, since a failed one ends the task as failed).
    pub failed: u64,
    /// Results, worst first.
    pub checks: Vec<CheckResult>,
}

/// The task.
#[derive(Debug)]
pub struct SqlCheck;

impl Task for SqlCheck {
    const TYPE: &'static str = "sql.check";
    const SUMMARY: &'static str = "checks tables by queries: no rows, or a number within bounds";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Required(&["warehouse", "group"]);
    const ERRORS: &'static [ErrorClass] = &[
        ErrorClass {
            name: "CheckFailed",
            retryable: false,
            meaning: "a check is beyond its error limit; all of them were run",
        },
        ErrorClass {
            name: "BadCheck",
            retryable: false,
            meaning: "a check has limits without ends, a `severity` beside limits, or a query of several rows where one is needed",
        },
        BAD_CONNECTION,
        WAREHOUSE,
        DENIED,
        BAD_STATEMENT,
        BAD_PARAM,
        ROW_REFUSED,
        MEMORY_LIMIT,
        QUERY_FAILED,
        SCRATCH,
        ErrorClass { name: "BadInput", retryable: false, meaning: "a table of the lake cannot be read" },
        ErrorClass { name: "NotFound", retryable: false, meaning: "a file of the lake is gone" },
        ErrorClass { name: "LakeDenied", retryable: false, meaning: "the lake refuses access" },
        ErrorClass { name: "Lake", retryable: true, meaning: "the lake cannot be reached" },
    ];
    const EXAMPLE: &'static str = r#"
- id: check_states
  type: sql.check
  conn: postgres
  with:
    checks:
      - name: no state from the future
        sql: select icao24 from processed_flights where last_contact > snapshot_time + interval '60 s'
      - name: states of the interval
        sql: select count(*) from processed_flights where snapshot_time >= $1
        params: ["{{ data_interval_start }}"]
        warn: { min: 1000 }
        error: { min: 200 }
"#;

    type Params = CheckParams;
    type Output = CheckReport;

    async fn run(params: CheckParams, ctx: &Context) -> Result<CheckReport, TaskError> {
        let checks = prepared(params.checks)?;
        let warehouses = warehouses(ctx, ctx.connection_name().unwrap_or("warehouse"))?;
        let grouped = warehouses.len() > 1;
        let mut results = Vec::new();
        for (name, connection) in &warehouses {
            let observed = match connection.engine {
                Engine::Lake => on_lake(connection, &checks, ctx).await,
                Engine::Postgres => on_postgres(name, connection, &checks, ctx).await,
                Engine::Clickhouse => on_clickhouse(name, connection, &checks, ctx).await,
            };
            let observed =
                observed.map_err(|error| if grouped { error.context(format!("warehouse `{name}`")) } else { error })?;
            results.extend(checks.iter().zip(observed).map(|(check, observed)| {
                let result = check.result(observed);
                if grouped { CheckResult { name: format!("{name}: {}", result.name), ..result } } else { result }
            }));
        }
        report(ctx, results)
    }
}

/// A check, and what is asked of its query.
struct Prepared {
    name: String,
    sql: String,
    params: Vec<Value>,
    limits: Limits,
    /// The number of rows is judged, not a value.
    counts: bool,
}

fn prepared(checks: Vec<Check>) -> Result<Vec<Prepared>, TaskError> {
    let bad = |text: String| Err(TaskError::fail("BadCheck", text));
    if checks.is_empty() || checks.len() > MOST_CHECKS {
        return bad(format!("`checks` has {} entries: 1 to {MOST_CHECKS} are needed", checks.len()));
    }
    let mut found = Vec::with_capacity(checks.len());
    for (index, check) in checks.into_iter().enumerate() {
        // A semicolon at the end is no second statement.
        let sql = check.sql.trim_end().trim_end_matches(';').to_owned();
        let name = check.name.unwrap_or_else(|| first_words(&sql));
        let counts = check.warn.is_none() && check.error.is_none();
        let limits = if counts {
            let none = Limit::Max(0.0).range();
            match check.severity.unwrap_or(Severity::Error) {
                Severity::Warning => Limits { warn: none, error: None, bad_rows: false },
                Severity::Error => Limits { warn: None, error: none, bad_rows: false },
            }
        } else {
            Limits {
                warn: check.warn.and_then(Limit::range),
                error: check.error.and_then(Limit::range),
                bad_rows: false,
            }
        };
        if limits.warn.is_none() && limits.error.is_none() {
            return bad(format!("checks[{index}] ({name}): its limits have neither `min` nor `max`"));
        }
        if check.severity.is_some() && !counts {
            return bad(format!(
                "checks[{index}] ({name}): `severity` is for queries that must give no rows; `warn` and `error` say it here"
            ));
        }
        found.push(Prepared { name, sql, params: check.params, limits, counts });
    }
    Ok(found)
}

impl Prepared {
    fn place(&self, index: usize) -> String {
        format!("checks[{index}] ({})", self.name)
    }

    fn one(&self, index: usize, values: &[Option<f64>]) -> Result<Option<f64>, TaskError> {
        match values {
            [] => Ok(None),
            [value] => Ok(*value),
            [_, _, ..] => Err(TaskError::fail(
                "BadCheck",
                format!("{}: the query gives several rows, but one number is judged", self.place(index)),
            )),
        }
    }

    fn result(&self, observed: Option<f64>) -> CheckResult {
        let severity = self.limits.severity();
        let verdict = judge(&self.limits, observed.filter(|number| !number.is_nan()));
        // Without a number nothing shows that the bounds are kept.
        let state = match (observed.filter(|number| !number.is_nan()), severity) {
            (Some(_), _) => verdict.state,
            (None, Severity::Error) => State::Failed,
            (None, Severity::Warning) => State::Warned,
        };
        CheckResult { name: self.name.clone(), state, observed, threshold: verdict.threshold, severity }
    }
}

async fn on_lake(
    connection: &WarehouseConnection,
    checks: &[Prepared],
    ctx: &Context,
) -> Result<Vec<Option<f64>>, TaskError> {
    let mut tables = LakeTables::open(ctx, connection)?;
    let mut found = Vec::with_capacity(checks.len());
    for (index, check) in checks.iter().enumerate() {
        let asked = async {
            let frame = tables.plan(&check.sql, &check.params).await?;
            if check.counts {
                return Ok(Some(as_number(tables.rows(frame).await?)));
            }
            check.one(index, &tables.numbers(frame).await?)
        };
        found.push(asked.await.map_err(|error: TaskError| error.context(check.place(index)))?);
        ctx.progress(index as u64 + 1, Some(checks.len() as u64), "checks");
    }
    Ok(found)
}

#[expect(clippy::cast_precision_loss, reason = "fewer rows than a double counts exactly")]
fn as_number(rows: u64) -> f64 {
    rows as f64
}

async fn on_postgres(
    name: &str,
    connection: &WarehouseConnection,
    checks: &[Prepared],
    ctx: &Context,
) -> Result<Vec<Option<f64>>, TaskError> {
    let server = Server::of(name, connection, ctx)?;
    let mut session = server.connect(ctx).await?;
    session.execute("begin isolation level repeatable read read only").await?;
    let mut found = Vec::with_capacity(checks.len());
    for (index, check) in checks.iter().enumerate() {
        let values = values(&mut session, check).await.map_err(|error| error.context(check.place(index)))?;
        found.push(check.one(index, &values)?);
        ctx.progress(index as u64 + 1, Some(checks.len() as u64), "checks");
    }
    session.close().await;
    Ok(found)
}

/// The server counts, or gives the number. The query begins on the first line, so that lines of errors are its own.
async fn values(session: &mut Session, check: &Prepared) -> Result<Vec<Option<f64>>, TaskError> {
    let sql = if check.counts {
        format!("select count(*)::float8 from ({}\n) as q", check.sql)
    } else {
        format!("select q.c::float8 from ({}\n) as q(c) limit 2", check.sql)
    };
    let arguments = bind(session, &sql, &check.params).await?;
    let Session { connection, stop } = session;
    // Of the workflow's author, in a transaction that only reads.
    stop.during(&sql, sqlx::query_scalar_with(AssertSqlSafe(sql.as_str()), arguments).fetch_all(connection)).await
}

async fn on_clickhouse(
    name: &str,
    connection: &WarehouseConnection,
    checks: &[Prepared],
    ctx: &Context,
) -> Result<Vec<Option<f64>>, TaskError> {
    // It only reads; there is no snapshot that several queries could share.
    let server = clickhouse::Server::of(name, connection, ctx)?
        .with("readonly", "2")
        // The sum of no rows is no number, as it is elsewhere: nothing shows that bounds are kept.
        .with("aggregate_functions_null_for_empty", "1");
    server.connect().await?;
    let mut found = Vec::with_capacity(checks.len());
    for (index, check) in checks.iter().enumerate() {
        let asked = async {
            let sql = if check.counts {
                format!("select count() from ({}\n)", check.sql)
            } else {
                format!("select * from ({}\n) limit 2", check.sql)
            };
            let rows = server.values(&Bound::new(&sql, &check.params)?).await?;
            rows.iter().map(|row| number_of(row.first().unwrap_or(&Value::Null))).collect::<Result<Vec<_>, _>>()
        };
        let values = asked.await.map_err(|error: TaskError| error.context(check.place(index)))?;
        found.push(check.one(index, &values)?);
        ctx.progress(index as u64 + 1, Some(checks.len() as u64), "checks");
    }
    Ok(found)
}

/// A value as a number, if it is not null.
fn number_of(value: &Value) -> Result<Option<f64>, TaskError> {
    let number = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_f64(),
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        // `nan` and `inf` stand in quotes.
        Value::String(text) => text.parse().ok(),
        Value::Array(_) | Value::Object(_) => None,
    };
    let no_number = || TaskError::fail(ROW_REFUSED.name, "the query's first column is no number");
    number.map(Some).ok_or_else(no_number)
}

fn report(ctx: &Context, mut results: Vec<CheckResult>) -> Result<CheckReport, TaskError> {
    results.sort_by_key(|result| result.state);
    for result in &results {
        let line = line(result);
        match result.state {
            State::Failed => ctx.error(&line),
            State::Warned => ctx.warn(&line),
            State::Passed => ctx.info(&line),
        }
        ctx.record_item(TaskItem {
            kind: "sql_check".to_owned(),
            name: result.name.clone(),
            state: result.state.name().to_owned(),
            seconds: None,
            value: result.observed,
            message: Some(line),
        });
    }
    let count = |state: State| results.iter().filter(|result| result.state == state).count() as u64;
    let (passed, warned, failed) = (count(State::Passed), count(State::Warned), count(State::Failed));
    if failed > 0 {
        let names: Vec<String> =
            results.iter().filter(|result| result.state == State::Failed).take(10).map(line).collect();
        return Err(TaskError::fail(
            "CheckFailed",
            format!(
                "{failed} of {} checks failed: {}{}",
                results.len(),
                names.join("; "),
                if failed > 10 { "; …" } else { "" }
            ),
        ));
    }
    Ok(CheckReport { passed, warned, failed, checks: results })
}

fn line(result: &CheckResult) -> String {
    let shown = |number: Option<f64>| number.map_or_else(|| "no number".to_owned(), |number| number.to_string());
    format!(
        "{} {}: observed {}, limit {}",
        result.name,
        result.state.name(),
        shown(result.observed),
        shown(result.threshold)
    )
}

#[cfg(test)]
mod tests;
