//! Checks of a real PostgreSQL, and of a lake.

use serde_json::json;
use updraft_task::testing::TestRun;
use updraft_testkit::postgres::fresh_database;

use super::*;
use crate::postgres::testing::{cancelled_while_locked, connect, execute};

async fn check(run: &TestRun, checks: Value) -> Result<CheckReport, TaskError> {
    let params = serde_json::from_value(json!({ "checks": checks })).unwrap();
    SqlCheck::run(params, &run.context("check", 1, None)).await
}

/// The same checks of the same rows: 1 a, 2 b, 3 b.
async fn judged(run: &TestRun) {
    let report = check(
        run,
        json!([
            { "sql": "select * from t where x > 3;" },
            { "name": "bs", "sql": "select * from t where name = $1", "params": ["b"], "severity": "warning" },
            { "name": "count", "sql": "select count(*) from t", "error": { "min": 3, "max": 3 } },
            { "name": "mean", "sql": "select avg(x), 'more' from t -- words", "warn": 1.5, "error": 2.5 },
        ]),
    )
    .await
    .unwrap();
    let found: Vec<_> =
        report.checks.iter().map(|result| (result.name.as_str(), result.state, result.observed)).collect();
    assert_eq!((report.passed, report.warned, report.failed), (2, 2, 0));
    assert_eq!(
        found,
        [
            ("bs", State::Warned, Some(2.0)),
            ("mean", State::Warned, Some(2.0)),
            ("select * from t where x > 3", State::Passed, Some(0.0)),
            ("count", State::Passed, Some(3.0)),
        ]
    );
    for (broken, observed) in [
        (json!({ "sql": "select * from t" }), "observed 3, limit 0"),
        (json!({ "sql": "select count(*) from t", "error": 2 }), "observed 3, limit 2"),
        (json!({ "sql": "select max(x) from t where x > 9", "error": { "min": 1 } }), "observed no number"),
        (json!({ "sql": "select x from t where x > 9", "error": { "min": 1 } }), "observed no number"),
    ] {
        let error = check(run, json!([broken, { "sql": "select 1 where false" }])).await.unwrap_err();
        assert_eq!(error.class(), "CheckFailed");
        assert!(error.message().contains("1 of 2") && error.message().contains(observed), "{broken}: {error}");
    }
    for (bad, class) in [
        (json!([]), "BadCheck"),
        (json!([{ "sql": "select 1", "error": {} }]), "BadCheck"),
        (json!([{ "sql": "select 1", "error": 1, "severity": "warning" }]), "BadCheck"),
        (json!([{ "sql": "select x from t", "error": 1 }]), "BadCheck"),
        (json!([{ "sql": "select * from gone" }]), "BadSql"),
        (json!([{ "sql": "delete from t" }]), "BadSql"),
        (json!([{ "sql": "select name from t limit 1", "error": 1 }]), ""),
    ] {
        let error = check(run, bad.clone()).await.unwrap_err();
        // `a` is no number: PostgreSQL says so of the value, DataFusion of the type.
        let classes = if class.is_empty() { vec!["RowRefused", "BadSql"] } else { vec![class] };
        assert!(classes.contains(&error.class()), "{bad}: {error}");
    }
    assert!(run.items().iter().any(|item| item.kind == "sql_check" && item.state == "warned"));
}

#[tokio::test]
async fn checks_judge_rows_and_numbers_of_postgresql() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    execute(
        database.url(),
        "create table t (x bigint, name text); insert into t values (1, 'a'), (2, 'b'), (3, 'b');
         create function writes() returns int language plpgsql as $$ begin delete from t; return 1; end $$",
    )
    .await;
    judged(&run).await;
    let error = check(&run, json!([{ "sql": "select\n x,\n gone from t" }])).await.unwrap_err();
    assert!(error.message().contains("line 3"), "{error}");
    let error = check(&run, json!([{ "sql": "select writes()" }])).await.unwrap_err();
    assert!(error.message().contains("read-only"), "{error}");
}

#[tokio::test]
async fn checks_judge_rows_and_numbers_of_a_lake() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    run.connect("warehouse", json!({ "kind": "warehouse", "engine": "lake" }));
    crate::sql_lake::testing::table(&run, "t", &[(1, "a"), (2, "b"), (3, "b")]).await;
    judged(&run).await;
}

#[tokio::test]
async fn checks_judge_rows_and_numbers_of_clickhouse() {
    use crate::clickhouse::testing;
    let Some(database) = updraft_testkit::services::clickhouse::fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    testing::connect(&run, "warehouse", database.address(), database.name());
    testing::execute(
        &database,
        &[
            "create table {d}.t (x Int64, name String) engine = MergeTree order by x",
            "insert into {d}.t values (1, 'a'), (2, 'b'), (3, 'b')",
            "create table {d}.keyed (at DateTime('UTC')) engine = MergeTree order by at",
            "insert into {d}.keyed values ('2026-01-01 00:00:00'), ('2026-01-01 00:00:02')",
        ],
    );
    judged(&run).await;
    let report = check(&run, json!([
        { "name": "by the key", "sql": "select count() from keyed where at >= $1", "params": ["2026-01-01T01:00:01+01:00"],
          "error": { "min": 1, "max": 1 } },
        { "name": "wide", "sql": "select toDecimal64(sum(x), 2) from t where toDateTime('2026-01-01 00:00:00', 'UTC') < $1",
          "params": ["2026-01-01T00:00:01Z"], "error": { "min": 6, "max": 6 } },
        { "name": "nothing", "sql": "select nan", "warn": 1 },
        { "name": "nothing summed", "sql": "select sum(x) from t where x > 9", "warn": { "max": 1 } },
    ]))
    .await
    .unwrap();
    assert_eq!((report.passed, report.warned), (2, 2));
}

#[tokio::test]
async fn a_cancelled_check_ends_on_the_server() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    execute(database.url(), "create table t (x int)").await;
    cancelled_while_locked(&run, database.url(), "t", Box::pin(check(&run, json!([{ "sql": "select * from t" }]))))
        .await;
}

#[tokio::test]
async fn each_member_of_a_group_is_checked() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "tables", database.url());
    execute(database.url(), "create table t (x int, name text); insert into t values (1, 'a')").await;
    run.connect("files", json!({ "kind": "warehouse", "engine": "lake" }));
    crate::sql_lake::testing::table(&run, "t", &[(1, "a"), (2, "b")]).await;
    run.connect("warehouse", json!({ "kind": "group", "members": ["files", "tables"] }));
    let count = json!([{ "name": "count", "sql": "select count(*) from t", "warn": { "min": 2 } }]);
    let report = check(&run, count).await.unwrap();
    let found: Vec<_> = report.checks.iter().map(|result| (result.name.as_str(), result.observed)).collect();
    assert_eq!(found, [("tables: count", Some(1.0)), ("files: count", Some(2.0))]);
    let error = check(&run, json!([{ "sql": "select x from t where gone = 1" }])).await.unwrap_err();
    assert!(error.message().contains("warehouse `files`"), "{error}");
}
