//! What rules observe, computed by DataFusion: one pass over a group's rows for all that are counts, one more for each rule
//! about uniqueness and each query of the author's.

use datafusion::arrow::array::{Array, Float64Array, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::dataframe::DataFrame;
use serde_json::Value;
use updraft_task::{Context, TaskError};

use super::rule::{AsOf, Rule};
use crate::query::{BAD_SQL, Session};

/// The table that the rows are.
const TABLE: &str = "data";

fn quoted(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn literal(value: &Value) -> Option<String> {
    match value {
        Value::String(value) => Some(text(value)),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn rows_with(predicate: &str) -> String {
    format!("count(*) FILTER (WHERE {predicate})")
}

fn newest_ms(column: &str) -> String {
    format!("arrow_cast(arrow_cast(max({}), 'Timestamp(Millisecond, None)'), 'Int64')", quoted(column))
}

/// How an observation comes about: from whole numbers of the one pass, or by a query of its own.
enum Plan {
    /// First number over second.
    Share(String, String),
    /// The first number.
    Number(String),
    /// Seconds from the second to the first, both in milliseconds.
    Age(String, String),
    /// A query whose number is divided by the rows.
    Repeats(String),
    /// A query whose number it is.
    Query(String),
}

fn plans(rule: &Rule, as_of: &AsOf, interval_end_ms: i64) -> Result<Vec<Plan>, TaskError> {
    let share = |predicate: String| Plan::Share(rows_with(&predicate), "count(*)".to_owned());
    Ok(match rule {
        Rule::NotNull { columns, .. } => {
            columns.iter().map(|column| share(format!("{} IS NULL", quoted(column)))).collect()
        }
        Rule::Between { column, min, max, .. } => {
            let column = quoted(column);
            let ends = [min.map(|min| format!("{column} < {min:?}")), max.map(|max| format!("{column} > {max:?}"))];
            let ends: Vec<String> = ends.into_iter().flatten().collect();
            if ends.is_empty() {
                return Err(bad_rule(rule, "`between` needs `min`, `max` or both"));
            }
            vec![share(ends.join(" OR "))]
        }
        Rule::Unique { columns, .. } => {
            let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
            vec![Plan::Repeats(format!(
                "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM {TABLE} GROUP BY {})",
                columns.join(", ")
            ))]
        }
        Rule::Accepted { column, values, .. } => {
            let values: Option<Vec<String>> = values.iter().map(literal).collect();
            let Some(values) = values.filter(|values| !values.is_empty()) else {
                return Err(bad_rule(rule, "`values` needs texts, numbers or booleans, at least one"));
            };
            vec![share(format!("{} NOT IN ({})", quoted(column), values.join(", ")))]
        }
        Rule::Regex { column, pattern, .. } => {
            if let Err(error) = regex::Regex::new(pattern) {
                return Err(bad_rule(rule, &error.to_string()));
            }
            vec![share(format!("NOT regexp_like(CAST({} AS VARCHAR), {})", quoted(column), text(pattern)))]
        }
        Rule::RowCount { .. } => vec![Plan::Number("count(*)".to_owned())],
        Rule::Freshness { column, .. } => {
            let end = match as_of {
                AsOf::IntervalEnd => interval_end_ms.to_string(),
                AsOf::Column(column) => newest_ms(column),
            };
            vec![Plan::Age(end, newest_ms(column))]
        }
        Rule::Ratio { r#where, of, .. } => {
            vec![Plan::Share(
                rows_with(&format!("({where}) AND ({of})", where = r#where)),
                rows_with(&format!("({of})")),
            )]
        }
        Rule::Sql { sql, .. } => vec![Plan::Query(sql.clone())],
    })
}

pub(super) fn bad_rule(rule: &Rule, reason: &str) -> TaskError {
    TaskError::fail("BadRule", format!("rule `{}`: {reason}", rule.name()))
}

/// Errors of a rule's SQL are errors of the rule.
fn blame(rule: &Rule, error: TaskError) -> TaskError {
    if error.class() == BAD_SQL.name {
        bad_rule(rule, error.message())
    } else {
        error.context(format!("rule `{}`", rule.name()))
    }
}

/// One value for every column of every rule, in order; `None` where there are no rows to observe.
pub(super) async fn observe(
    ctx: &Context,
    session: &Session,
    rules: &[&Rule],
    as_of: &AsOf,
    schema: SchemaRef,
    rows: Vec<RecordBatch>,
) -> Result<Vec<Vec<Option<f64>>>, TaskError> {
    session.register_rows(TABLE, schema, rows)?;
    let end_ms = ctx.run().interval.end.as_millis();
    let plans = rules.iter().map(|rule| plans(rule, as_of, end_ms)).collect::<Result<Vec<_>, _>>()?;
    let mut numbers: Vec<(Option<&Rule>, String)> = vec![(None, "count(*)".to_owned())];
    for (rule, plans) in rules.iter().zip(&plans) {
        for expression in plans.iter().flat_map(expressions) {
            numbers.push((Some(*rule), expression.to_owned()));
        }
    }
    let pass = one_pass(ctx, session, &numbers).await?;
    let total = pass.first().copied().flatten();
    let mut next = pass.into_iter().skip(1);
    let mut observed = Vec::with_capacity(rules.len());
    for (rule, plans) in rules.iter().zip(&plans) {
        let mut values = Vec::with_capacity(plans.len());
        for plan in plans {
            values.push(match plan {
                Plan::Share(..) => {
                    let part = next.next().flatten();
                    ratio(part, next.next().flatten())
                }
                Plan::Number(_) => next.next().flatten().map(float),
                Plan::Age(..) => {
                    let end = next.next().flatten();
                    let newest = next.next().flatten();
                    end.zip(newest).map(|(end, newest)| float(end.saturating_sub(newest).max(0)) / 1000.0)
                }
                Plan::Repeats(sql) => {
                    let repeats = number(ctx, session, sql).await.map_err(|error| blame(rule, error))?;
                    repeats.zip(total).filter(|(_, total)| *total > 0).map(|(repeats, total)| repeats / float(total))
                }
                Plan::Query(sql) => number(ctx, session, sql).await.map_err(|error| blame(rule, error))?,
            });
        }
        observed.push(values);
    }
    session.deregister(TABLE)?;
    Ok(observed)
}

fn expressions(plan: &Plan) -> Vec<&str> {
    match plan {
        Plan::Share(first, second) | Plan::Age(first, second) => vec![first, second],
        Plan::Number(first) => vec![first],
        Plan::Repeats(_) | Plan::Query(_) => Vec::new(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and milliseconds are far below 2^53")]
const fn float(number: i64) -> f64 {
    number as f64
}

fn ratio(part: Option<i64>, whole: Option<i64>) -> Option<f64> {
    part.zip(whole).filter(|(_, whole)| *whole > 0).map(|(part, whole)| float(part) / float(whole))
}

/// All numbers in one query. If it does not plan, each is planned by itself to find the rule that the mistake is in.
async fn one_pass(
    ctx: &Context,
    session: &Session,
    numbers: &[(Option<&Rule>, String)],
) -> Result<Vec<Option<i64>>, TaskError> {
    let columns: Vec<String> =
        numbers.iter().enumerate().map(|(index, (_, number))| format!("{number} AS n{index}")).collect();
    let error = match session.plan(&format!("SELECT {} FROM {TABLE}", columns.join(", "))).await {
        Ok(frame) => return whole_numbers(ctx, session, frame).await,
        Err(error) => error,
    };
    for (rule, number) in numbers {
        if let Err(error) = session.plan(&format!("SELECT {number} FROM {TABLE}")).await {
            return Err(match rule {
                Some(rule) => blame(rule, error),
                None => error,
            });
        }
    }
    Err(error)
}

/// The one row of a query, as whole numbers.
async fn whole_numbers(ctx: &Context, session: &Session, frame: DataFrame) -> Result<Vec<Option<i64>>, TaskError> {
    let mut found = Vec::new();
    session
        .run(ctx, frame, |batch| {
            for column in batch.columns() {
                let values =
                    cast(column, &DataType::Int64).map_err(|error| TaskError::fail("BadRule", error.to_string()))?;
                let value = values.as_any().downcast_ref::<Int64Array>();
                found.push(value.filter(|value| !value.is_empty() && value.is_valid(0)).map(|value| value.value(0)));
            }
            Ok(())
        })
        .await?;
    Ok(found)
}

/// The one number of a query.
async fn number(ctx: &Context, session: &Session, sql: &str) -> Result<Option<f64>, TaskError> {
    let frame = session.plan(sql).await?;
    let bad = |reason: String| TaskError::fail(BAD_SQL.name, reason);
    let mut found = Vec::new();
    session
        .run(ctx, frame, |batch| {
            if batch.num_columns() != 1 {
                return Err(bad(format!("the query has {} columns; one number is needed", batch.num_columns())));
            }
            let values = cast(batch.column(0), &DataType::Float64).map_err(|error| bad(error.to_string()))?;
            let values = values.as_any().downcast_ref::<Float64Array>();
            found.extend(values.into_iter().flat_map(|values| values.iter()).take(2));
            Ok(())
        })
        .await?;
    match found[..] {
        [value] => Ok(value.filter(|value| value.is_finite())),
        [] => Err(bad("the query has no row; one number is needed".to_owned())),
        [..] => Err(bad("the query has several rows; one number is needed".to_owned())),
    }
}
