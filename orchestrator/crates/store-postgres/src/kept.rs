//! What is written outside the hop: workflow versions, small values of task runs, values shared across runs.

use sqlx::{Connection, PgConnection};
use updraft_model::id::{AttemptId, VersionId, WorkflowId};
use updraft_model::time::Timestamp;
use updraft_store::{NewVersion, Published, StoreError, TaskStateKey};

/// The numbers of a version that is already the current one.
pub(crate) async fn published(
    connection: &mut PgConnection,
    version: &NewVersion,
) -> Result<Option<Published>, sqlx::Error> {
    let found: Option<(i64, i64)> = sqlx::query_as(
        "SELECT w.workflow_id, v.version_id FROM workflow w JOIN workflow_version v ON v.workflow_id = w.workflow_id
         WHERE w.name = $1 AND v.sha256 = $2 AND w.current_version_id = v.version_id",
    )
    .bind(version.workflow.as_str())
    .bind(version.sha256.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|(workflow, version)| Published { workflow_id: WorkflowId(workflow), version_id: VersionId(version) }))
}

/// Makes a version known and current.
pub(crate) async fn publish(
    connection: &mut PgConnection,
    version: &NewVersion,
    at: Timestamp,
) -> Result<Published, sqlx::Error> {
    // The lease closes the connection on any error, so nothing of this stays open.
    let mut transaction = connection.begin().await?;
    sqlx::query("INSERT INTO workflow (name, created_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(version.workflow.as_str())
        .bind(at.to_datetime())
        .execute(&mut *transaction)
        .await?;
    let workflow: i64 = sqlx::query_scalar("SELECT workflow_id FROM workflow WHERE name = $1 FOR NO KEY UPDATE")
        .bind(version.workflow.as_str())
        .fetch_one(&mut *transaction)
        .await?;
    sqlx::query(
        "INSERT INTO workflow_version (workflow_id, sha256, source, path, compiled, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (workflow_id, sha256) DO NOTHING",
    )
    .bind(workflow)
    .bind(version.sha256.as_str())
    .bind(version.source.as_str())
    .bind(version.path.as_str())
    .bind(version.compiled.as_str())
    .bind(at.to_datetime())
    .execute(&mut *transaction)
    .await?;
    let number: i64 = sqlx::query_scalar(
        "UPDATE workflow w SET current_version_id = v.version_id FROM workflow_version v
         WHERE w.workflow_id = $1 AND v.workflow_id = w.workflow_id AND v.sha256 = $2 RETURNING v.version_id",
    )
    .bind(workflow)
    .bind(version.sha256.as_str())
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Published { workflow_id: WorkflowId(workflow), version_id: VersionId(number) })
}

pub(crate) async fn task_state(
    connection: &mut PgConnection,
    at: &TaskStateKey,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT value FROM task_state
         WHERE run_id = $1 AND task_id = $2 AND map_index = $3 AND generation = $4 AND name = $5",
    )
    .bind(at.run_id.0)
    .bind(at.key.task.as_str())
    .bind(at.key.map_index.0)
    .bind(i64::from(at.generation))
    .bind(at.name.as_str())
    .fetch_optional(connection)
    .await
}

/// Puts a value once: whether the attempt executes the task run, and whether this call put it.
///
/// The lock on its `work` row makes the two one: who takes the task run from the attempt waits until the value stands, or
/// was there first, and then the row is looked at again.
pub(crate) async fn put_task_state(
    connection: &mut PgConnection,
    at: &TaskStateKey,
    by: AttemptId,
    value: &str,
) -> Result<(bool, bool), sqlx::Error> {
    sqlx::query_as(
        "WITH fence AS MATERIALIZED (
             SELECT 1 FROM work WHERE run_id = $1 AND task_id = $2 AND map_index = $3 AND generation = $4::int8
             AND place = 'x' AND attempt_id = $7 FOR SHARE
         ), put AS (
             INSERT INTO task_state (run_id, task_id, map_index, generation, name, value)
             SELECT $1, $2, $3, $4::int8, $5, $6 FROM fence ON CONFLICT DO NOTHING RETURNING 1
         ) SELECT EXISTS (SELECT 1 FROM fence), EXISTS (SELECT 1 FROM put)",
    )
    .bind(at.run_id.0)
    .bind(at.key.task.as_str())
    .bind(at.key.map_index.0)
    .bind(i64::from(at.generation))
    .bind(at.name.as_str())
    .bind(value)
    .bind(by.0)
    .fetch_one(connection)
    .await
}

pub(crate) async fn shared_state(
    connection: &mut PgConnection,
    scope: &str,
    key: &str,
) -> Result<Option<(String, i64)>, sqlx::Error> {
    sqlx::query_as("SELECT value, version FROM shared_state WHERE scope = $1 AND key = $2")
        .bind(scope)
        .bind(key)
        .fetch_optional(connection)
        .await
}

/// Compare and set; version 0 = it must not exist.
pub(crate) async fn set_shared_state(
    connection: &mut PgConnection,
    (scope, key): (&str, &str),
    value: &str,
    expected: i64,
    at: Timestamp,
) -> Result<bool, sqlx::Error> {
    let statement = if expected == 0 {
        "INSERT INTO shared_state (scope, key, value, version, updated_at)
         VALUES ($1, $2, $3, 1 + $4, $5) ON CONFLICT (scope, key) DO NOTHING"
    } else {
        "UPDATE shared_state SET value = $3, version = version + 1, updated_at = $5
         WHERE scope = $1 AND key = $2 AND version = $4"
    };
    let set = sqlx::query(statement)
        .bind(scope)
        .bind(key)
        .bind(value)
        .bind(expected)
        .bind(at.to_datetime())
        .execute(connection)
        .await?;
    Ok(set.rows_affected() > 0)
}

/// A version number as the database counts.
pub(crate) fn number(version: u64) -> Result<i64, StoreError> {
    i64::try_from(version).map_err(|_| StoreError::Rejected(format!("{version} is no version")))
}
