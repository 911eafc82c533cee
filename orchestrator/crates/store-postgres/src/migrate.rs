//! Brings a schema to this build's tables, or says that it is newer. Several processes may do this at once: sqlx holds a
//! database-wide advisory lock meanwhile.

use std::collections::BTreeMap;

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{ConnectOptions, Connection, PgConnection, SqlSafeStr};
use updraft_store::StoreError;
use updraft_store::schema::MigrationStatus;

use crate::error;
use crate::sql;
use crate::target::{Target, Use};

macro_rules! migrations {
    ($($number:literal $name:literal $file:literal),+ $(,)?) => {
        &[$(($number, $name, include_str!(concat!("../migrations/", $file)))),+]
    };
}

/// Numbers and names as in `updraft_store::schema::MIGRATIONS`. An applied file never changes: sqlx keeps its checksum.
const MIGRATIONS: &[(i64, &str, &str)] = migrations![
    1 "workflows" "0001_workflows.sql",
    2 "runs" "0002_runs.sql",
    3 "work" "0003_work.sql",
    4 "attempts" "0004_attempts.sql",
    5 "workers" "0005_workers.sql",
    6 "kept_values" "0006_kept_values.sql",
    7 "bench" "0007_bench.sql",
    8 "schedules" "0008_schedules.sql",
    9 "workers_logs" "0009_workers_logs.sql",
    10 "accounts" "0010_accounts.sql",
    11 "history" "0011_history.sql",
    12 "reopen" "0012_reopen.sql",
    13 "idempotency" "0013_idempotency.sql",
    14 "expanded" "0014_expanded.sql",
];

fn migrator() -> Migrator {
    Migrator::with_migrations(
        MIGRATIONS
            .iter()
            .map(|(number, name, text)| {
                Migration::new(*number, (*name).into(), MigrationType::Simple, text.into_sql_str(), false)
            })
            .collect(),
    )
}

/// Applies what is missing; says how many migrations that was.
pub(crate) async fn run(target: &Target) -> Result<usize, StoreError> {
    let mut connection = connect(target).await?;
    create_schema(&mut connection, target).await?;
    let migrator = migrator();
    // Settings first: everything below relies on the search path that the connection asked for.
    let before = applied(&mut connection).await?;
    let result = migrator.run(&mut connection).await;
    let after = match result {
        Ok(()) => applied(&mut connection).await?,
        Err(error) => return Err(failure(target, &error)),
    };
    close(connection).await;
    Ok(after.saturating_sub(before))
}

/// Refuses a schema that is not exactly at this build's migrations.
pub(crate) async fn check(target: &Target) -> Result<(), StoreError> {
    let mut connection = connect(target).await?;
    let expected = MIGRATIONS.len();
    let found = applied(&mut connection).await?;
    close(connection).await;
    if found == expected {
        return Ok(());
    }
    let remedy =
        if found < expected { "run `updraft migrate`" } else { "use the build that migrated it, or a newer one" };
    Err(StoreError::Schema(format!(
        "the store at {} has {found} of this build's {expected} migrations: {remedy}",
        target.place()
    )))
}

/// All migrations that this build or the schema knows.
pub(crate) async fn status(target: &Target) -> Result<Vec<MigrationStatus>, StoreError> {
    let mut connection = connect(target).await?;
    let mut all: BTreeMap<i64, MigrationStatus> = MIGRATIONS
        .iter()
        .map(|(version, name, _)| {
            let name = (*name).to_owned();
            (*version, MigrationStatus { version: *version, name, applied: false, known: true })
        })
        .collect();
    if applied(&mut connection).await? > 0 {
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT version, description FROM _sqlx_migrations WHERE success ORDER BY version")
                .fetch_all(&mut connection)
                .await
                .map_err(|error| error::plain(&error))?;
        for (version, name) in rows {
            all.entry(version).and_modify(|known| known.applied = true).or_insert(MigrationStatus {
                version,
                name,
                applied: true,
                known: false,
            });
        }
    }
    close(connection).await;
    Ok(all.into_values().collect())
}

async fn connect(target: &Target) -> Result<PgConnection, StoreError> {
    let mut connection =
        target.options(Use::Migration).connect().await.map_err(|error| match error::plain(&error) {
            StoreError::Unavailable(text) => StoreError::Unavailable(format!("{}: {text}", target.place())),
            other => other,
        })?;
    let path: String = sqlx::query_scalar("SELECT current_setting('search_path')")
        .fetch_one(&mut connection)
        .await
        .map_err(|error| error::plain(&error))?;
    if path == target.schema() {
        return Ok(connection);
    }
    Err(StoreError::Schema(format!(
        "the connection to {} ignores the settings that it was opened with (search_path is `{path}`): a pooler stands in \
         between; connect to the server directly, or let the pooler pass `options`",
        target.place()
    )))
}

async fn create_schema(connection: &mut PgConnection, target: &Target) -> Result<(), StoreError> {
    if schema_exists(connection, target).await? {
        return Ok(());
    }
    match sql::create_schema(target).execute(&mut *connection).await {
        Ok(_) => Ok(()),
        // Two processes at once: the other one was faster.
        Err(_) if schema_exists(connection, target).await? => Ok(()),
        Err(error) => Err(error::plain(&error)),
    }
}

async fn schema_exists(connection: &mut PgConnection, target: &Target) -> Result<bool, StoreError> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)")
        .bind(target.schema())
        .fetch_one(connection)
        .await
        .map_err(|error| error::plain(&error))
}

/// Number of applied migrations; 0 if there is no list of them yet.
async fn applied(connection: &mut PgConnection) -> Result<usize, StoreError> {
    let listed: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM pg_class c WHERE c.relname = '_sqlx_migrations'
             AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()))",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(|error| error::plain(&error))?;
    if !listed {
        return Ok(0);
    }
    let applied = connection.list_applied_migrations("_sqlx_migrations").await;
    applied.map(|rows| rows.len()).map_err(|error| StoreError::Schema(error.to_string()))
}

async fn close(connection: PgConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "the migration's connection did not close in good order");
    }
}

fn failure(target: &Target, error: &MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(inner) => error::plain(inner),
        MigrateError::VersionMissing(number) => StoreError::Schema(format!(
            "the store at {} has migration {number}, which this build does not know: use the build that migrated it, or \
             a newer one",
            target.place()
        )),
        MigrateError::VersionMismatch(number) => StoreError::Schema(format!(
            "migration {number} of the store at {} was applied with another text: this build and that store do not \
             belong together",
            target.place()
        )),
        other => StoreError::Schema(format!("the store at {} cannot be migrated: {other}", target.place())),
    }
}

#[cfg(test)]
mod tests {
    use super::MIGRATIONS;

    #[test]
    fn migrations_have_the_numbers_and_names_that_both_databases_share() {
        let found: Vec<_> = MIGRATIONS.iter().map(|(number, name, _)| (*number, *name)).collect();
        assert_eq!(found, updraft_store::schema::MIGRATIONS);
    }
}
