//! Tables in PostgreSQL: rows are copied into a temporary table and put into the table by its key, in one transaction. Rows
//! whose key is there are left as they are, so that the same interval changes nothing; lists of the table (`regions` of
//! `region`) get what they lack.

use chrono::NaiveDate;
use updraft_task::{Context, TaskError};

use super::rows::{opened, same_columns};
use super::{Load, TargetReport, WarehouseConnection};
use crate::parquet;
use crate::postgres::text::{list, quoted};
use crate::postgres::{Plan, Server, Session, Table, copy_in, make};

const STAGING: &str = "pg_temp.updraft_staging";
/// Partitions that one load may need.
const MOST_PARTITIONS: usize = 1_000;

/// Loads all batches in one transaction.
pub(super) async fn load(connection: &WarehouseConnection, load: &Load<'_>) -> Result<TargetReport, TaskError> {
    let server = Server::of(load.connection, connection, load.ctx)?;
    let mut session = server.connect(load.ctx).await?;
    // Whatever goes wrong: the transaction ends with the connection, and the temporary table with it.
    let report = transaction(&mut session, &server, connection, load).await?;
    session.close().await;
    Ok(report)
}

async fn transaction(
    session: &mut Session,
    server: &Server,
    connection: &WarehouseConnection,
    load: &Load<'_>,
) -> Result<TargetReport, TaskError> {
    // Partitions that are made meanwhile must be seen.
    session.execute("begin isolation level read committed").await?;
    let table = Table::find(session, load.table).await?;
    let mut report = load.report(connection.engine, format!("{}/{}.{}", server.place(), table.schema, table.name));
    let (plan, sent) = stage(session, load, &table).await?;
    report.sent = sent;
    let key = list(table.key.iter().map(String::as_str));
    let distinct = session.count(&format!("select count(*) from (select distinct {key} from {STAGING}) s")).await?;
    report.ignored = sent - distinct.min(sent);
    report.partitions = partitions(session, server, load.ctx, &table).await?;

    report.inserted = session.execute(&insert(&table, &plan)).await?;
    report.already_there = distinct.saturating_sub(report.inserted);
    if report.already_there > 0
        && let Some(update) = update(&table, &plan)
    {
        report.updated = session.execute(&update).await?;
    }
    report.rows_found = session.count(&found(&table)).await?;
    if report.rows_found != distinct {
        return Err(TaskError::retry(
            "CountMismatch",
            format!(
                "{distinct} distinct keys were sent, but {} holds {} of them after loading: somebody else removes or \
                 changes rows, or a trigger does",
                report.location, report.rows_found
            ),
        ));
    }
    // If the answer is lost, nobody knows what became of it; another try finds the rows there, or does it again.
    session.execute("commit").await?;
    load.ctx.info(format!(
        "{}: {sent} rows sent, {} inserted, {} already there ({} of them extended), {} doubles left out",
        report.location, report.inserted, report.already_there, report.updated, report.ignored
    ));
    Ok(report)
}

/// Copies all batches into the temporary table.
async fn stage(session: &mut Session, load: &Load<'_>, table: &Table) -> Result<(Plan, u64), TaskError> {
    let lake = load.ctx.lake()?;
    let mut staged: Option<Plan> = None;
    let mut sent = 0;
    for (index, batch) in load.batches.iter().enumerate() {
        let file = load.ctx.scratch_dir()?.join(format!("{}-{index}.parquet", load.connection));
        let rows = opened(load.ctx, &lake, batch.dataset, &file).await?;
        let plan = Plan::new(&*parquet::copy_schema(&file)?, table)
            .map_err(|error| error.context(format!("`{}`", batch.dataset.uri)))?;
        match &staged {
            None => {
                session.execute(&staging(table, &plan)).await?;
                staged = Some(plan.clone());
            }
            Some(first) => same_columns(names(first), names(&plan), batch.dataset)?,
        }
        sent += copy_in(session, load.ctx, STAGING, &plan.all, rows)
            .await
            .map_err(|error| error.context(format!("`{}`", batch.dataset.uri)))?;
        // Only so much disk is used as the largest dataset needs.
        let _ = tokio::fs::remove_file(&file).await;
    }
    let Some(plan) = staged else { return Err(TaskError::fail("BadInput", "there is no dataset to load")) };
    session.execute(&format!("analyze {STAGING}")).await?;
    Ok((plan, sent))
}

fn names(plan: &Plan) -> impl Iterator<Item = &str> {
    plan.all.iter().map(String::as_str)
}

/// The temporary table: the dataset's columns with the types of the table's.
fn staging(table: &Table, plan: &Plan) -> String {
    let columns: Vec<String> = plan
        .all
        .iter()
        .map(|name| match plan.collected.iter().find(|collected| collected.from == *name) {
            Some(collected) if !plan.plain.contains(name) => {
                format!("({})[1] as {}", quoted(&collected.into), quoted(name))
            }
            Some(_) | None => quoted(name),
        })
        .collect();
    format!(
        "create temporary table updraft_staging on commit drop as select {} from {} with no data",
        columns.join(", "),
        table.in_sql()
    )
}

/// Makes the partitions that are missing; says which ones the rows go to.
async fn partitions(
    session: &mut Session,
    server: &Server,
    ctx: &Context,
    table: &Table,
) -> Result<Vec<String>, TaskError> {
    let Some(partitioning) = &table.partitioning else { return Ok(Vec::new()) };
    let column = quoted(&partitioning.column);
    let zoned = table.column(&partitioning.column).is_some_and(|column| column.base == "timestamptz");
    let day = if zoned { format!("({column} at time zone 'UTC')::date") } else { format!("{column}::date") };
    let sql = format!(
        "select distinct {day}::text from {STAGING} where isfinite({column}) limit {}",
        MOST_PARTITIONS.saturating_mul(31).saturating_add(1)
    );
    let days = session.texts(&sql).await?;
    // What PostgreSQL writes otherwise (`0044-03-15 BC`) is no day that a partition is made for.
    let days: Vec<NaiveDate> = days.iter().filter_map(|day| day.parse().ok()).collect();
    let most = if partitioning.monthly { MOST_PARTITIONS.saturating_mul(31) } else { MOST_PARTITIONS };
    if days.len() > most {
        return Err(TaskError::fail(
            "BadPartition",
            format!(
                "the rows lie in more than {MOST_PARTITIONS} partitions by `{}`: are all of its values right? Load less at \
                 once, or put `[partitions: monthly]` into the table's comment",
                partitioning.column
            ),
        ));
    }
    let made = make(server, ctx, table, partitioning, &days).await?;
    if made.made > 0 {
        ctx.info(format!("{} partition(s) made", made.made));
    }
    Ok(made.ranges.into_iter().take(400).collect())
}

/// `s."a" = t."a" and …`
fn same_key(table: &Table) -> String {
    let equal = |name: &String| format!("s.{0} = t.{0}", quoted(name));
    table.key.iter().map(equal).collect::<Vec<_>>().join(" and ")
}

/// The values of lists by key.
fn collected(table: &Table, plan: &Plan) -> String {
    let key = list(table.key.iter().map(String::as_str));
    let lists: Vec<String> = plan
        .collected
        .iter()
        .map(|collected| {
            let from = quoted(&collected.from);
            format!(
                "coalesce(array_agg(distinct {from} order by {from}) filter (where {from} is not null), '{{}}') as {}",
                quoted(&collected.into)
            )
        })
        .collect();
    format!("select {key}, {} from {STAGING} group by {key}", lists.join(", "))
}

/// Of rows with one key the first is taken, in the order of the datasets. Keys in order, so that loads side by side wait for
/// each other instead of meeting in a deadlock.
fn insert(table: &Table, plan: &Plan) -> String {
    let key = list(table.key.iter().map(String::as_str));
    let plain = plan.plain.iter().map(String::as_str);
    let rows = format!("select distinct on ({key}) * from {STAGING} order by {key}, ctid");
    if plan.collected.is_empty() {
        let columns = list(plain);
        return format!(
            "insert into {} ({columns}) select {columns} from ({rows}) s order by {key} on conflict ({key}) do nothing",
            table.in_sql()
        );
    }
    let columns = list(plain.chain(plan.collected.iter().map(|collected| collected.into.as_str())));
    let own: Vec<String> = plan.plain.iter().map(|name| format!("s.{}", quoted(name))).collect();
    let lists: Vec<String> = plan.collected.iter().map(|collected| format!("t.{}", quoted(&collected.into))).collect();
    let order: Vec<String> = table.key.iter().map(|name| format!("s.{}", quoted(name))).collect();
    format!(
        "insert into {} ({columns}) select {} from ({rows}) s join ({}) t on {} order by {} on conflict ({key}) do nothing",
        table.in_sql(),
        [own, lists].concat().join(", "),
        collected(table, plan),
        same_key(table),
        order.join(", ")
    )
}

/// Gives lists of rows that are there what they lack; `None` if there are no lists.
fn update(table: &Table, plan: &Plan) -> Option<String> {
    if plan.collected.is_empty() {
        return None;
    }
    let lists = || plan.collected.iter().map(|collected| quoted(&collected.into));
    let set: Vec<String> = lists()
        .map(|list| format!("{list} = (select array_agg(distinct x order by x) from unnest(t.{list} || s.{list}) x)"))
        .collect();
    let lacking: Vec<String> = lists().map(|list| format!("not coalesce(t.{list}, '{{}}') @> s.{list}")).collect();
    Some(format!(
        "update {} t set {} from ({}) s where {}{} and ({})",
        table.in_sql(),
        set.join(", "),
        collected(table, plan),
        same_key(table),
        within(table),
        lacking.join(" or ")
    ))
}

/// Keys of the batches that the table holds.
fn found(table: &Table) -> String {
    let key = list(table.key.iter().map(String::as_str));
    format!(
        "select count(*) from (select distinct {key} from {STAGING}) s join {} t on {}{}",
        table.in_sql(),
        same_key(table),
        within(table)
    )
}

/// Bounds of the partition column, so that the other partitions are not read.
fn within(table: &Table) -> String {
    table.partitioning.as_ref().map_or_else(String::new, |partitioning| {
        let column = quoted(&partitioning.column);
        format!(
            " and t.{column} >= (select min({column}) from {STAGING}) and t.{column} <= (select max({column}) from {STAGING})"
        )
    })
}

#[cfg(test)]
mod tests;
