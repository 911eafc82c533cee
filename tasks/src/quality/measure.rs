//! What rules observe, computed by DataFusion: one pass over a group's rows for all that are counts, one more for each rule
//! about uniqueness and each query of the author's. Mistakes in rules are found here before any row is looked at.

use datafusion::arrow::array::{Array, Float64Array, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Schema};
use serde_json::Value;
use updraft_task::{Context, TaskError};

use super::judge::{Limits, limits};
use super::rule::{Common, Per, Rule};
use crate::query::{BAD_SQL, Session};

/// The table that the rows are.
pub(super) const TABLE: &str = "data";

fn quoted(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn rows_with(predicate: &str) -> String {
    format!("count(*) FILTER (WHERE {predicate})")
}

fn newest_ms(column: &str) -> String {
    format!("arrow_cast(arrow_cast(max({column}), 'Timestamp(Millisecond, None)'), 'Int64')")
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
    /// What others observe has to be there first.
    Later,
}

impl Plan {
    /// Its numbers of the one pass.
    fn expressions(&self) -> Vec<&str> {
        match self {
            Self::Share(first, second) | Self::Age(first, second) => vec![first, second],
            Self::Number(first) => vec![first],
            Self::Repeats(_) | Self::Query(_) | Self::Later => Vec::new(),
        }
    }
}

/// A rule that is known to be answerable.
pub(super) struct Prepared<'a> {
    pub(super) rule: &'a Rule,
    pub(super) limits: Limits,
    plans: Vec<Plan>,
}

/// Prepares all rules against the columns of [`TABLE`], or tells what is wrong with each of the bad ones.
pub(super) async fn prepare<'a>(
    session: &Session,
    rules: &'a [Rule],
    schema: &Schema,
    interval_end_ms: i64,
) -> Result<Vec<Prepared<'a>>, TaskError> {
    let mut prepared = Vec::with_capacity(rules.len());
    let mut mistakes = Vec::new();
    for rule in rules {
        match prepare_one(session, rule, schema, interval_end_ms).await {
            Ok(rule) => prepared.push(rule),
            Err(error) if error.class() == "BadRule" => mistakes.push(error.message().to_owned()),
            Err(error) => return Err(error),
        }
    }
    if mistakes.is_empty() { Ok(prepared) } else { Err(TaskError::fail("BadRule", mistakes.join("\n"))) }
}

async fn prepare_one<'a>(
    session: &Session,
    rule: &'a Rule,
    schema: &Schema,
    interval_end_ms: i64,
) -> Result<Prepared<'a>, TaskError> {
    let Common { per, regions, .. } = rule.common();
    if per == Per::All && !regions.is_empty() {
        return Err(bad_rule(rule, "`regions` chooses among regions: set `per: region`"));
    }
    let plans = plans(rule, schema, interval_end_ms)?;
    let limits = limits(rule)
        .ok_or_else(|| bad_rule(rule, "it has no limit: set `warn`, `error`, or the check's own bounds"))?;
    for plan in &plans {
        for expression in plan.expressions() {
            let sql = format!("SELECT {expression} FROM {TABLE}");
            session.plan(&sql).await.map_err(|error| blame(rule, error))?;
        }
        if let Plan::Query(sql) = plan {
            let frame = session.plan(sql).await.map_err(|error| blame(rule, error))?;
            let columns = frame.schema().as_arrow().fields();
            let [column] = &columns[..] else {
                return Err(bad_rule(rule, &format!("its query has {} columns; one number is needed", columns.len())));
            };
            if !column.data_type().is_numeric() && !column.data_type().is_null() {
                return Err(bad_rule(rule, &format!("its query answers {}; one number is needed", column.data_type())));
            }
        }
    }
    Ok(Prepared { rule, limits, plans })
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// A column as SQL names it, if it is there and of the wanted type.
fn column(
    rule: &Rule,
    schema: &Schema,
    name: &str,
    wanted: &str,
    fits: impl Fn(&DataType) -> bool,
) -> Result<String, TaskError> {
    let Ok(field) = schema.field_with_name(name) else {
        let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        return Err(bad_rule(rule, &format!("there is no column `{name}`; the columns are {}", known.join(", "))));
    };
    if fits(field.data_type()) {
        return Ok(quoted(name));
    }
    Err(bad_rule(rule, &format!("column `{name}` is {}, but {wanted} is needed", field.data_type())))
}

fn literals(rule: &Rule, schema: &Schema, name: &str, values: &[Value]) -> Result<(String, Vec<String>), TaskError> {
    let literal = |value: &Value| match value {
        Value::String(value) => Some(text(value)),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let found: Option<Vec<String>> = values.iter().map(literal).collect();
    let Some(found) = found.filter(|found| !found.is_empty()) else {
        return Err(bad_rule(rule, "`values` needs texts, numbers or booleans, at least one"));
    };
    let fits = |data_type: &DataType| {
        values.iter().all(|value| match value {
            Value::String(_) => is_text(data_type),
            Value::Number(_) => data_type.is_numeric(),
            Value::Bool(_) => *data_type == DataType::Boolean,
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        })
    };
    Ok((column(rule, schema, name, "the type of `values`", fits)?, found))
}

fn plans(rule: &Rule, schema: &Schema, interval_end_ms: i64) -> Result<Vec<Plan>, TaskError> {
    let share = |predicate: String| Plan::Share(rows_with(&predicate), "count(*)".to_owned());
    let any = |name: &String| column(rule, schema, name, "any type", |_| true);
    let time = |name: &str| column(rule, schema, name, "a timestamp", |kind| matches!(kind, DataType::Timestamp(..)));
    Ok(match rule {
        Rule::NotNull { columns, .. } => {
            let columns = columns.iter().map(any).collect::<Result<Vec<_>, _>>()?;
            if columns.is_empty() {
                return Err(bad_rule(rule, "`columns` needs at least one"));
            }
            columns.iter().map(|column| share(format!("{column} IS NULL"))).collect()
        }
        Rule::Between { column: name, min, max, .. } => {
            let column = column(rule, schema, name, "a number", DataType::is_numeric)?;
            let ends = [min.map(|min| format!("{column} < {min:?}")), max.map(|max| format!("{column} > {max:?}"))];
            let ends: Vec<String> = ends.into_iter().flatten().collect();
            if ends.is_empty() {
                return Err(bad_rule(rule, "`between` needs `min`, `max` or both"));
            }
            vec![share(ends.join(" OR "))]
        }
        Rule::Unique { columns, .. } => {
            let columns = columns.iter().map(any).collect::<Result<Vec<_>, _>>()?;
            if columns.is_empty() {
                return Err(bad_rule(rule, "`columns` needs at least one"));
            }
            vec![Plan::Repeats(format!(
                "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM {TABLE} GROUP BY {})",
                columns.join(", ")
            ))]
        }
        Rule::Accepted { column: name, values, .. } => {
            let (column, values) = literals(rule, schema, name, values)?;
            vec![share(format!("{column} NOT IN ({})", values.join(", ")))]
        }
        Rule::Regex { column: name, pattern, .. } => {
            let column = column(rule, schema, name, "text", is_text)?;
            if let Err(error) = regex::Regex::new(pattern) {
                return Err(bad_rule(rule, &error.to_string()));
            }
            vec![share(format!("NOT regexp_like({column}, {})", text(pattern)))]
        }
        Rule::RowCount { .. } => vec![Plan::Number("count(*)".to_owned())],
        Rule::Freshness { column: name, as_of, .. } => {
            let end = match as_of {
                None => interval_end_ms.to_string(),
                Some(name) if schema.field_with_name(name).is_ok() => newest_ms(&time(name)?),
                Some(instant) => {
                    if let Ok(instant) = instant.parse::<jiff::Timestamp>() {
                        instant.as_millisecond().to_string()
                    } else {
                        let reason = format!(
                            "`as_of: {instant}` is neither a column nor an instant such as 2026-01-31T12:00:00Z"
                        );
                        return Err(bad_rule(rule, &reason));
                    }
                }
            };
            vec![Plan::Age(end, newest_ms(&time(name)?))]
        }
        // Line ends keep a comment in the author's text from reaching beyond it.
        Rule::Ratio { r#where, of, .. } => {
            vec![Plan::Share(rows_with(&format!("({where}\n) AND ({of}\n)")), rows_with(&format!("({of}\n)")))]
        }
        Rule::Sql { sql, .. } => vec![Plan::Query(sql.clone())],
        Rule::History { .. } => vec![Plan::Later],
    })
}

fn bad_rule(rule: &Rule, reason: &str) -> TaskError {
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

/// One value of [`TABLE`] for every column of every rule, in order; `None` where there are no rows to observe.
pub(super) async fn observe(
    ctx: &Context,
    session: &Session,
    rules: &[&Prepared<'_>],
) -> Result<Vec<Vec<Option<f64>>>, TaskError> {
    let mut next = pass(ctx, session, rules).await?.into_iter();
    let total = next.next().flatten();
    let mut observed = Vec::with_capacity(rules.len());
    for Prepared { rule, plans, .. } in rules {
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
                Plan::Later => None,
            });
        }
        observed.push(values);
    }
    Ok(observed)
}

/// Number of rows, then the numbers of all rules, in one pass.
async fn pass(ctx: &Context, session: &Session, rules: &[&Prepared<'_>]) -> Result<Vec<Option<i64>>, TaskError> {
    let select = |expressions: &[&str]| {
        let columns: Vec<String> =
            expressions.iter().enumerate().map(|(index, number)| format!("{number} AS n{index}")).collect();
        format!("SELECT {} FROM {TABLE}", columns.join(", "))
    };
    let mut expressions = vec!["count(*)"];
    expressions.extend(rules.iter().flat_map(|rule| rule.plans.iter().flat_map(Plan::expressions)));
    let error = match whole_numbers(ctx, session, &select(&expressions)).await {
        Ok(numbers) => return Ok(numbers),
        Err(error) => error,
    };
    // A value of some row broke an expression: whose, is told by running each rule's alone.
    for Prepared { rule, plans, .. } in rules {
        let expressions: Vec<&str> = plans.iter().flat_map(Plan::expressions).collect();
        if !expressions.is_empty() {
            whole_numbers(ctx, session, &select(&expressions)).await.map_err(|error| blame(rule, error))?;
        }
    }
    Err(error)
}

#[expect(clippy::cast_precision_loss, reason = "counts and milliseconds are far below 2^53")]
const fn float(number: i64) -> f64 {
    number as f64
}

fn ratio(part: Option<i64>, whole: Option<i64>) -> Option<f64> {
    part.zip(whole).filter(|(_, whole)| *whole > 0).map(|(part, whole)| float(part) / float(whole))
}

/// The one row of a query, as whole numbers.
async fn whole_numbers(ctx: &Context, session: &Session, sql: &str) -> Result<Vec<Option<i64>>, TaskError> {
    let frame = session.plan(sql).await?;
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

/// The one number of a query; not a number is nothing, as 0/0 is.
async fn number(ctx: &Context, session: &Session, sql: &str) -> Result<Option<f64>, TaskError> {
    let frame = session.plan(sql).await?;
    let bad = |reason: String| TaskError::fail(BAD_SQL.name, reason);
    let mut found = Vec::new();
    session
        .run(ctx, frame, |batch| {
            let values = cast(batch.column(0), &DataType::Float64).map_err(|error| bad(error.to_string()))?;
            let values = values.as_any().downcast_ref::<Float64Array>();
            found.extend(values.into_iter().flat_map(datafusion::arrow::array::PrimitiveArray::iter).take(2));
            Ok(())
        })
        .await?;
    match found[..] {
        [value] => Ok(value.filter(|value| !value.is_nan())),
        [] => Err(bad("its query has no row; one number is needed".to_owned())),
        [..] => Err(bad("its query has several rows; one number is needed".to_owned())),
    }
}
