//! In ClickHouse: tables say in their TTL how long rows stay. Merges remove them, when there are any: here it is looked whether
//! they did, and they are told to.

use serde::Deserialize;
use updraft_task::{Context, TaskError};

use super::{CleanParams, TableCleanup, TargetCleanup, tell};
use crate::clickhouse::Server;
use crate::clickhouse::text::{literal, quoted};
use crate::warehouse_load::{Engine, WarehouseConnection};

#[derive(Debug, Deserialize)]
struct Found {
    table: String,
    create_table_query: String,
}

pub(super) async fn clean(
    ctx: &Context,
    name: &str,
    connection: &WarehouseConnection,
    params: &CleanParams,
) -> Result<TargetCleanup, TaskError> {
    let server = Server::of(name, connection, ctx)?;
    server.connect().await?;
    let tables: Vec<Found> = server
        .rows(&format!(
            "select table, create_table_query from system.tables where database = {} and engine like '%MergeTree' \
             and not is_temporary order by table",
            literal(server.database())
        ))
        .await?;
    let mut target = TargetCleanup {
        connection: name.to_owned(),
        engine: Engine::Clickhouse,
        tables: Vec::new(),
        slots: Vec::new(),
    };
    for Found { table, create_table_query } in tables {
        let Some(ttl) = ttl(&create_table_query) else { continue };
        if !removes_rows(ttl) {
            ctx.info(format!("{name}: {table} is not looked at: its TTL does more than remove rows ({ttl})"));
            continue;
        }
        let in_sql = format!("{}.{}", quoted(server.database()), quoted(&table));
        let overdue = format!(
            "select count() from {in_sql} where toDateTime({ttl}, 'UTC') < now('UTC') - toIntervalDay({})",
            params.ttl_grace_days
        );
        let mut found = TableCleanup {
            table,
            rule: format!("TTL {ttl}, {} days ago", params.ttl_grace_days),
            rows: server.count(&overdue).await?,
            ..TableCleanup::default()
        };
        if !params.dry_run && found.rows > 0 {
            server.execute(&format!("alter table {in_sql} materialize ttl settings mutations_sync = 2")).await?;
            found.removed = found.rows.saturating_sub(server.count(&overdue).await?);
        }
        tell(ctx, name, &found);
        if found.rows > found.removed {
            ctx.warn(format!(
                "{name}: {} rows of {} should be gone by its TTL ({ttl}) for {} days: merges do not come to it (`system.merges`, \
                 `system.mutations`), or, with `ttl_only_drop_parts`, they share a part with rows that stay",
                found.rows - found.removed,
                found.table,
                params.ttl_grace_days
            ));
        }
        target.tables.push(found);
    }
    Ok(target)
}

/// The table's own TTL, not its columns', as the server writes it: after the engine.
fn ttl(create: &str) -> Option<&str> {
    let (_, after) = create.split_once("ENGINE = ")?;
    let (_, ttl) = after.split_once(" TTL ")?;
    let end = [" SETTINGS ", " COMMENT "].iter().filter_map(|word| ttl.find(word)).min().unwrap_or(ttl.len());
    Some(ttl.get(..end).unwrap_or(ttl).trim())
}

/// Whether it is one expression after whose time rows are removed, without a condition.
fn removes_rows(ttl: &str) -> bool {
    let mut depth = 0_i32;
    let listed = ttl.chars().any(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        c == ',' && depth == 0
    });
    let other = [" TO ", " WHERE ", " GROUP BY ", " RECOMPRESS ", " DELETE"];
    !listed && !other.iter().any(|word| ttl.contains(word))
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_ttl_is_read_from_the_tables_statement_and_not_from_its_columns() {
        let create = "CREATE TABLE d.t (`a` String TTL at + toIntervalDay(1), `at` DateTime) ENGINE = MergeTree ORDER BY at \
                      TTL at + toIntervalDay(30) SETTINGS index_granularity = 8192 COMMENT 'x TTL y'";
        assert_eq!(ttl(create), Some("at + toIntervalDay(30)"));
        let without =
            "CREATE TABLE d.t (`a` String TTL at + toIntervalDay(1)) ENGINE = MergeTree ORDER BY at SETTINGS x = 1";
        assert_eq!(ttl(without), None);
        assert_eq!(ttl("CREATE VIEW d.v AS SELECT 1"), None);
        for (ttl, expected) in [
            ("at + toIntervalDay(30)", true),
            ("toDateTime(at, 'UTC') + toIntervalDay(30)", true),
            ("at + toIntervalDay(1) DELETE WHERE x = 1", false),
            ("at + toIntervalDay(1), at + toIntervalDay(2) TO DISK 'slow'", false),
        ] {
            assert_eq!(removes_rows(ttl), expected, "{ttl}");
        }
    }
}
