//! The plans of the statements of history: nothing reads all of a big table, whatever is asked for.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Executor, Row};

use super::statement;
use crate::{connect, migrate};

#[tokio::test]
async fn no_list_reads_all_of_a_big_table() {
    // Few rows whatever the history holds.
    const SMALL: [&str; 4] = ["work_due", "work_of_worker", "work_ready", "run_open"];
    const BIG: [&str; 6] = ["run", "run_log", "task_run", "work", "attempt", "task_item"];
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("plans.db");
    connect::prepare_file(&path).expect("make the file");
    let mut connection = connect::writer(&path).await.expect("open");
    migrate::run(&mut connection).await.expect("migrate");
    let mut looked_at = 0;
    for question in updraft_store::history::samples::questions() {
        let Some((text, _)) = statement(&question) else { continue };
        for detail in plan_of(&mut connection, &text).await {
            looked_at += 1;
            let Some(scanned) = detail.strip_prefix("SCAN ") else { continue };
            let small = SMALL.iter().any(|index| scanned.contains(&format!("INDEX {index}")));
            let ordered = bounded_walk(scanned);
            let name = scanned.split_whitespace().next().unwrap_or_default();
            let table = match name {
                "r" | "x" | "y" => "run",
                "t" => "task_run",
                "a" | "b" => "attempt",
                "k" | "h" => "work",
                other => other,
            };
            // What is put together inside a statement is as long as its limits.
            let inner = text.contains(&format!(") {name}")) && !scanned.contains("USING");
            assert!(!BIG.contains(&table) || small || ordered || inner, "{detail}\n{text}");
        }
    }
    assert!(looked_at > 200, "only {looked_at} plan lines");
}

/// A walk along an index in the order of the list: it ends at the list's limit.
fn bounded_walk(scanned: &str) -> bool {
    ["run_by_created_at", "run_by_logical", "run_by_ended_at"]
        .iter()
        .any(|index| scanned.ends_with(&format!("INDEX {index}")))
}

async fn plan_of(connection: &mut SqliteConnection, statement: &str) -> Vec<String> {
    let explained = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let rows = connection.fetch_all(explained).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    rows.iter().map(|row| row.get::<String, _>("detail")).collect()
}
