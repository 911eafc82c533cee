//! A real PostgreSQL for the tests of tasks.

use std::future::Future;
use std::time::Duration;

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use updraft_task::TaskError;
use updraft_task::testing::TestRun;

/// Makes a database a warehouse of the run.
pub(crate) fn connect(run: &TestRun, name: &str, url: &str) {
    run.connect(name, json!({ "kind": "warehouse", "engine": "postgres", "url": url }));
}

/// Runs statements.
pub(crate) async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// The first column as texts.
pub(crate) async fn texts(url: &str, sql: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let found: Vec<Option<String>> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    found.into_iter().map(|text| text.unwrap_or_else(|| "null".to_owned())).collect()
}

/// Waits until a query gives `t`.
pub(crate) async fn until(url: &str, sql: &str) {
    for _ in 0..600 {
        if texts(url, &format!("select ({sql})::text")).await == ["true"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never came true: {sql}");
}

/// Cancels the run while `work` waits for a lock on a table, and shows that the server stopped, too.
pub(crate) async fn cancelled_while_locked<T: std::fmt::Debug>(
    run: &TestRun,
    url: &str,
    table: &str,
    work: impl Future<Output = Result<T, TaskError>>,
) {
    let mut holder = PgConnection::connect(url).await.unwrap();
    let lock = format!("begin; lock table {table} in access exclusive mode");
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut holder).await.unwrap();
    let waits = "select exists (select from pg_stat_activity where datname = current_database() \
                 and application_name like 'updraft %' and wait_event_type = 'Lock')";
    let cancel = async {
        until(url, waits).await;
        run.cancel();
    };
    let (result, ()) = tokio::join!(work, cancel);
    assert_eq!(result.unwrap_err().class(), "Cancelled");
    // The lock is still held: what waited for it has been ended.
    let gone = "select not exists (select from pg_stat_activity where datname = current_database() \
                and application_name like 'updraft %' and state = 'active')";
    until(url, gone).await;
    holder.close().await.unwrap();
}
