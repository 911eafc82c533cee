//! In PostgreSQL: partitions that are past as a whole are dropped, rows of other tables deleted in slices.

use updraft_task::{Context, TaskError, Timestamp};

use super::{CleanParams, NAMED, Slot, TableCleanup, TableRetention, TargetCleanup, tell};
use crate::database::BAD_COLUMN;
use crate::lake_clean::first_kept;
use crate::postgres::text::quoted;
use crate::postgres::{Server, Session, Table};
use crate::warehouse_load::{Engine, WarehouseConnection};

/// Rows that one statement deletes, so that none holds its locks for long.
const SLICE: u64 = 20_000;

pub(super) async fn clean(
    ctx: &Context,
    name: &str,
    connection: &WarehouseConnection,
    params: &CleanParams,
) -> Result<TargetCleanup, TaskError> {
    let mut session = Server::of(name, connection, ctx)?.connect(ctx).await?;
    let found = look_and_clean(ctx, name, connection, params, &mut session).await;
    session.close().await;
    found
}

async fn look_and_clean(
    ctx: &Context,
    name: &str,
    connection: &WarehouseConnection,
    params: &CleanParams,
    session: &mut Session,
) -> Result<TargetCleanup, TaskError> {
    // Bounds of partitions and instants are compared as texts say them.
    session.execute("set timezone = 'UTC'").await?;
    // Whoever reads the table goes first; a retry comes again.
    session.execute("set lock_timeout = '10s'").await?;
    let mut target =
        TargetCleanup { connection: name.to_owned(), engine: Engine::Postgres, tables: Vec::new(), slots: Vec::new() };
    for rule in &params.retention {
        let table = Table::find(session, connection.table(&rule.table)).await?;
        let before = first_kept(ctx.now(), rule.days);
        let found = if table.partitioning.is_some() {
            partitions(ctx, session, &table, rule, before, params.dry_run).await
        } else {
            rows(ctx, session, &table, rule, before, params.dry_run).await
        };
        let found = found.map_err(|error| error.context(format!("table {}", table.in_sql())))?;
        tell(ctx, name, &found);
        target.tables.push(found);
    }
    target.slots = slots(session).await?;
    for slot in &target.slots {
        let mib = slot.retained_bytes >> 20;
        let text = format!("{name}: replication slot `{}` holds {mib} MiB of WAL back", slot.name);
        if mib > params.slot_warn_mib {
            let reader = if slot.active { "its reader is behind" } else { "nobody reads it" };
            ctx.warn(format!(
                "{text}: {reader}. The disk fills up while that is so; a slot that is not needed any more goes by `select \
                 pg_drop_replication_slot('{}')`",
                slot.name
            ));
        } else {
            ctx.info(text);
        }
    }
    Ok(target)
}

/// Partitions whose whole range is past.
async fn partitions(
    ctx: &Context,
    session: &mut Session,
    table: &Table,
    rule: &TableRetention,
    before: Timestamp,
    dry_run: bool,
) -> Result<TableCleanup, TaskError> {
    let column = table.partitioning.as_ref().map(|by| by.column.as_str()).unwrap_or_default();
    if column != rule.column {
        return Err(TaskError::fail(
            BAD_COLUMN.name,
            format!(
                "it is partitioned by `{column}` and not by `{}`: partitions go as a whole, so name that column",
                rule.column
            ),
        ));
    }
    let past = session
        .texts(&format!(
            "select format('%I.%I', n.nspname, c.relname) from pg_inherits i join pg_class c on c.oid = i.inhrelid \
             join pg_namespace n on n.oid = c.relnamespace where i.inhparent = {} \
             and substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \\(''([^'']+)''\\)')::timestamptz <= '{before}' \
             order by c.relname",
            table.oid.0
        ))
        .await?;
    let mut found = cleanup(table, rule, before);
    let mut counts = Vec::with_capacity(past.len());
    for partition in &past {
        counts.push(session.count(&format!("select count(*) from {partition}")).await?);
    }
    found.rows = counts.iter().sum();
    if !dry_run {
        for (number, (partition, rows)) in past.iter().zip(counts).enumerate() {
            session.execute(&format!("drop table {partition}")).await?;
            ctx.debug(format!("dropped {partition}, {rows} rows"));
            found.removed += rows;
            ctx.progress(number as u64 + 1, Some(past.len() as u64), "partitions");
        }
    }
    found.partitions = past.into_iter().take(NAMED).collect();
    Ok(found)
}

/// Rows that are past.
async fn rows(
    ctx: &Context,
    session: &mut Session,
    table: &Table,
    rule: &TableRetention,
    before: Timestamp,
    dry_run: bool,
) -> Result<TableCleanup, TaskError> {
    let known = table.columns.iter().find(|column| column.name == rule.column);
    if !known.is_some_and(|column| matches!(column.base.as_str(), "timestamptz" | "timestamp" | "date")) {
        return Err(TaskError::fail(
            BAD_COLUMN.name,
            format!("`{}` is no column of it that holds a time or a date", rule.column),
        ));
    }
    let past = format!("{} < '{before}'", quoted(&rule.column));
    let mut found = cleanup(table, rule, before);
    found.rows = session.count(&format!("select count(*) from {} where {past}", table.in_sql())).await?;
    if dry_run || found.rows == 0 {
        return Ok(found);
    }
    loop {
        let sql = format!(
            "delete from {0} where ctid = any(array(select ctid from {0} where {past} limit {SLICE}))",
            table.in_sql()
        );
        let removed = session.execute(&sql).await?;
        found.removed += removed;
        ctx.progress(found.removed, Some(found.rows.max(found.removed)), "rows");
        if removed < SLICE {
            break;
        }
    }
    session.execute(&format!("vacuum (analyze) {}", table.in_sql())).await?;
    Ok(found)
}

fn cleanup(table: &Table, rule: &TableRetention, before: Timestamp) -> TableCleanup {
    TableCleanup { table: table.name.clone(), rule: format!("{} < {before}", rule.column), ..TableCleanup::default() }
}

/// Replication slots of this database, and physical ones.
async fn slots(session: &mut Session) -> Result<Vec<Slot>, TaskError> {
    let Session { connection, stop } = session;
    let found: Vec<(String, bool, i64)> = stop
        .during(
            "",
            sqlx::query_as(
                "select slot_name::text, active, greatest(coalesce(pg_wal_lsn_diff(case when pg_is_in_recovery() \
                 then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, restart_lsn), 0), 0)::bigint \
                 from pg_replication_slots where database is null or database = current_database() order by slot_name",
            )
            .fetch_all(&mut *connection),
        )
        .await?;
    let slot = |(name, active, bytes): (String, bool, i64)| Slot {
        name,
        active,
        retained_bytes: u64::try_from(bytes).unwrap_or(0),
    };
    Ok(found.into_iter().map(slot).collect())
}
