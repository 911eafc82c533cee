//! Tests of query plans: no hot statement may read a big table from end to end.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Executor, Row};
use updraft_model::state::RunState;
use updraft_store::read::RunFilter;

use crate::{batch, connect, lane, load, logs, migrate, query, sql};

async fn migrated() -> (tempfile::TempDir, SqliteConnection) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("plans.db");
    connect::prepare_file(&path).expect("make the file");
    let mut connection = connect::writer(&path).await.expect("open");
    migrate::run(&mut connection).await.expect("migrate");
    (folder, connection)
}

async fn plan(connection: &mut SqliteConnection, statement: &str) -> Vec<String> {
    let explained = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let rows = connection.fetch_all(explained).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    rows.iter().map(|row| row.get::<String, _>("detail")).collect()
}

/// The statements inside the trigger of `queries/commit.sql`, with columns of `hop` as parameters.
fn parts_of_commit() -> Vec<String> {
    let text = include_str!("../queries/commit.sql");
    let columns = [
        "at",
        "run_count",
        "runs",
        "created",
        "ended",
        "removed",
        "task_runs",
        "work",
        "items",
        "metrics",
        "claimer",
        "queue",
        "attempts",
    ];
    let body = text.split("ON hop BEGIN").nth(1).and_then(|rest| rest.rsplit_once("END;")).expect("a trigger").0;
    let without_comments: Vec<&str> = body.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let mut body = without_comments.join("\n").replace("SELECT RAISE(ABORT, 'refused') WHERE", "SELECT 1 WHERE");
    // Longer names first: `runs` begins `run_count` no less than `task_runs` ends with it.
    let mut numbered: Vec<(usize, &str)> = (1..).zip(columns).collect();
    numbered.sort_by_key(|(_, name)| std::cmp::Reverse(name.len()));
    for (number, name) in numbered {
        body = body.replace(&format!("NEW.{name}"), &format!("?{number}"));
    }
    assert!(!body.contains("NEW."), "{body}");
    body.split(';').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn statements() -> Vec<String> {
    let scripts = [
        batch::REFUSED,
        sql::CLAIM,
        sql::DUE,
        sql::OUTCOME,
        sql::REGISTER,
        sql::RENEW,
        sql::OWN_ROWS,
        sql::LEAVE,
        sql::PEERS,
        sql::CONDEMN,
        sql::SUSPECT,
        logs::PUT_CHUNK,
        logs::PUT_HEAD,
        logs::INFO,
        logs::INFOS,
        logs::CHUNKS,
        logs::LINE,
        sql::NEXT_DUE,
        sql::PUBLISH,
        sql::PUT_TASK_STATE,
        sql::TASK_STATE,
        sql::SHARED_STATE,
        sql::NEW_SHARED_STATE,
        sql::SET_SHARED_STATE,
        lane::CANCEL,
        load::FULL,
        load::TAIL,
        query::BY_PREFIX,
        query::OUTPUTS,
        query::HISTORY,
        query::VERSION,
        query::ATTEMPTS,
        query::ITEMS,
        query::METRICS,
    ];
    let split = |script: &str| script.split(';').map(|part| part.trim().to_owned()).collect::<Vec<_>>();
    let picked = batch::COMMIT_AND_PICK.split(';').nth(1).map(str::to_owned);
    let filter = |workflow: bool, states: &[RunState]| RunFilter {
        workflow: workflow.then(|| "etl".to_owned()),
        states: states.to_vec(),
        before: None,
        limit: 10,
    };
    scripts
        .iter()
        .flat_map(|script| split(script))
        .chain(picked)
        .chain(parts_of_commit())
        .chain([
            query::run(),
            query::runs(&filter(true, &[])),
            query::runs(&filter(true, &[RunState::Running, RunState::Queued])),
            query::runs(&filter(false, &[RunState::Running, RunState::Broken])),
        ])
        .filter(|statement| !statement.is_empty())
        .collect()
}

#[tokio::test]
async fn no_hot_statement_scans_a_big_table() {
    const BIG: [&str; 10] = [
        "run",
        "run_log",
        "task_run",
        "work",
        "attempt",
        "task_item",
        "run_metric",
        "workflow_version",
        "log_chunk",
        "attempt_log",
    ];
    // Few rows whatever the history holds: their partial indexes are read whole.
    const SMALL: [&str; 4] = ["work_due", "work_of_worker", "worker_serving", "run_open"];
    let (_folder, mut connection) = migrated().await;
    let aliases = [("r", "run"), ("w", "work"), ("a", "attempt"), ("v", "workflow_version")];
    let mut looked_at = 0;
    for statement in statements() {
        for detail in plan(&mut connection, &statement).await {
            looked_at += 1;
            let Some(scanned) = detail.strip_prefix("SCAN ") else { continue };
            let name = scanned.split_whitespace().next().unwrap_or_default();
            let table = aliases.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, table)| *table);
            let small = SMALL.iter().any(|index| scanned.contains(&format!("INDEX {index}")));
            assert!(!BIG.contains(&table) || small, "{detail}\n{statement}");
        }
    }
    assert!(looked_at > 60, "only {looked_at} plan lines");
}

#[tokio::test]
async fn keys_are_searched_by_all_their_columns() {
    let (_folder, mut connection) = migrated().await;
    let mut searched = 0;
    for statement in parts_of_commit().iter().chain([&sql::CLAIM.to_owned(), &sql::DUE.to_owned()]) {
        for detail in plan(&mut connection, statement).await {
            let on_work = ["SEARCH work ", "SEARCH w "].iter().any(|start| detail.starts_with(start));
            if on_work && detail.contains("PRIMARY KEY") {
                searched += 1;
                assert!(detail.contains("(run_id=? AND task_id=? AND map_index=?)"), "{detail}\n{statement}");
            }
        }
    }
    assert!(searched >= 6, "only {searched} searches of work");
}
