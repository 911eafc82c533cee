//! The schema: its migrations, which of them a file has, and what to say if they are not this build's.

use std::collections::BTreeMap;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Executor, Row, SqlSafeStr};
use updraft_store::StoreError;
use updraft_store::schema::{MIGRATIONS, MigrationStatus};

use crate::error;

/// The text of each migration, in the order of [`MIGRATIONS`].
const SQL: [&str; MIGRATIONS.len()] = [
    include_str!("../migrations/0001_workflows.sql"),
    include_str!("../migrations/0002_runs.sql"),
    include_str!("../migrations/0003_work.sql"),
    include_str!("../migrations/0004_attempts.sql"),
    include_str!("../migrations/0005_workers.sql"),
    include_str!("../migrations/0006_kept_values.sql"),
    include_str!("../migrations/0007_bench.sql"),
    include_str!("../migrations/0008_schedules.sql"),
    include_str!("../migrations/0009_workers_logs.sql"),
    include_str!("../migrations/0010_accounts.sql"),
    include_str!("../migrations/0011_history.sql"),
    include_str!("../migrations/0012_reopen.sql"),
    include_str!("../migrations/0013_idempotency.sql"),
    include_str!("../migrations/0014_expanded.sql"),
];

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.iter().zip(SQL).map(|((version, name), sql)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// Carries out what is missing; says the numbers that it carried out.
pub(crate) async fn run(connection: &mut SqliteConnection) -> Result<Vec<i64>, StoreError> {
    let before = status(connection).await?;
    refuse_newer(&before)?;
    migrator()
        .run_direct(None, connection, false)
        .await
        .map_err(|error| StoreError::Schema(format!("the schema could not be brought up to date: {error}")))?;
    Ok(before.iter().filter(|migration| !migration.applied).map(|migration| migration.version).collect())
}

/// All migrations that this build knows, none carried out.
pub(crate) fn none() -> Vec<MigrationStatus> {
    MIGRATIONS
        .iter()
        .map(|(version, name)| MigrationStatus {
            version: *version,
            name: (*name).to_owned(),
            applied: false,
            known: true,
        })
        .collect()
}

/// All migrations that this build or the file knows.
pub(crate) async fn status(connection: &mut SqliteConnection) -> Result<Vec<MigrationStatus>, StoreError> {
    let mut all: BTreeMap<i64, MigrationStatus> =
        none().into_iter().map(|migration| (migration.version, migration)).collect();
    let exists = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'";
    if connection.fetch_optional(exists).await.map_err(|error| error::plain(&error))?.is_some() {
        let rows = connection
            .fetch_all("SELECT version, description FROM _sqlx_migrations ORDER BY version")
            .await
            .map_err(|error| error::plain(&error))?;
        for row in rows {
            let version: i64 = row.try_get(0).map_err(|error| error::plain(&error))?;
            let name: String = row.try_get(1).map_err(|error| error::plain(&error))?;
            all.entry(version).and_modify(|migration| migration.applied = true).or_insert(MigrationStatus {
                version,
                name,
                applied: true,
                known: false,
            });
        }
    }
    Ok(all.into_values().collect())
}

/// For readers, who cannot migrate: the file must have exactly what this build knows.
pub(crate) fn require_current(status: &[MigrationStatus]) -> Result<(), StoreError> {
    refuse_newer(status)?;
    let applied = status.iter().filter(|migration| migration.applied).count();
    if applied == 0 {
        return Err(StoreError::Schema("the file holds no Updraft schema; run `updraft migrate`".to_owned()));
    }
    if applied < status.len() {
        return Err(StoreError::Schema(format!(
            "the store has migration {applied} of {}, made by an older updraft; run `updraft migrate`",
            status.len()
        )));
    }
    Ok(())
}

fn refuse_newer(status: &[MigrationStatus]) -> Result<(), StoreError> {
    match status.iter().find(|migration| !migration.known) {
        None => Ok(()),
        Some(newer) => Err(StoreError::Schema(format!(
            "the store has migration {} ({}), made by a newer updraft; this build knows {}. Use that build, or another file",
            newer.version,
            newer.name,
            MIGRATIONS.len()
        ))),
    }
}
