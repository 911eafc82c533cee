//! A real ClickHouse for the tests of tasks.

use std::future::Future;
use std::time::Duration;

use serde_json::json;
use updraft_task::TaskError;
use updraft_task::testing::TestRun;
use updraft_testkit::services::clickhouse::{Address, Database};

/// Makes a database a warehouse of the run.
pub(crate) fn connect(run: &TestRun, name: &str, address: &Address, database: &str) {
    let url = format!("http://{}@127.0.0.1:{}/{database}", address.user, address.port);
    run.connect(name, json!({ "kind": "warehouse", "engine": "clickhouse", "url": url, "password": address.password }));
}

/// Runs statements, in which `{d}` is the database.
pub(crate) fn execute(database: &Database, statements: &[&str]) {
    for sql in statements {
        database.address().query(&sql.replace("{d}", database.name())).unwrap();
    }
}

/// The answer of a query, in which `{d}` is the database.
pub(crate) fn answer(database: &Database, sql: &str) -> String {
    database.address().query(&sql.replace("{d}", database.name())).unwrap()
}

/// Waits until a query gives `1`.
pub(crate) async fn until(address: &Address, sql: &str) {
    for _ in 0..600 {
        if address.query(sql).unwrap() == "1" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never came true: {sql}");
}

/// Cancels the run while `work` has a query in the server whose text holds `part`, and shows that it ended there, too.
pub(crate) async fn cancelled_while<T: std::fmt::Debug>(
    run: &TestRun,
    address: &Address,
    part: &str,
    work: impl Future<Output = Result<T, TaskError>>,
) {
    let runs = format!(
        "select count() > 0 from system.processes where positionCaseInsensitive(query, '{part}') > 0 \
         and query not like '%system.processes%'"
    );
    let cancel = async {
        until(address, &runs).await;
        run.cancel();
    };
    let (result, ()) = tokio::join!(work, cancel);
    assert_eq!(result.unwrap_err().class(), "Cancelled");
    until(address, &runs.replace("count() > 0", "count() = 0")).await;
}
