//! Statements on a real PostgreSQL, and queries on a lake.

use serde_json::json;
use updraft_task::testing::TestRun;
use updraft_testkit::postgres::fresh_database;

use super::*;
use crate::postgres::testing::{cancelled_while_locked, connect, execute, texts};

async fn run_as(run: &TestRun, statements: Value, try_no: u32) -> Result<SqlRunReport, TaskError> {
    let params = serde_json::from_value(json!({ "statements": statements })).unwrap();
    SqlRun::run(params, &run.context("sql", try_no, None)).await
}

async fn run_sql(run: &TestRun, statements: Value) -> Result<SqlRunReport, TaskError> {
    // A task of its own each time: what an attempt keeps is for its own task run.
    let params = serde_json::from_value(json!({ "statements": statements })).unwrap();
    let name = format!("sql_{}", uuid::Uuid::new_v4().simple());
    SqlRun::run(params, &run.context(&name, 1, None)).await
}

#[tokio::test]
async fn statements_are_one_transaction_and_rows_are_counted() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    let report = run_sql(
        &run,
        json!([
            "create table a (x int primary key, t text)",
            { "sql": "insert into a select n, $2 from generate_series(1, $1) n;", "params": [5, "it's $1"] },
            { "sql": "update a set t = null where x > $1", "params": [3] },
            "select * from a",
            "-- only words\n;",
        ]),
    )
    .await
    .unwrap();
    let rows: Vec<u64> = report.statements.iter().map(|statement| statement.rows).collect();
    assert_eq!((rows, report.rows, report.reused), (vec![0, 5, 2, 5, 0], 12, false));
    assert_eq!(texts(database.url(), "select t from a where x = 1").await, ["it's $1"]);

    let error = run_sql(&run, json!(["delete from a", "select\n 1 / 0"])).await.unwrap_err();
    assert_eq!(error.class(), "RowRefused");
    assert!(error.message().starts_with("statements[1]"), "{error}");
    assert_eq!(texts(database.url(), "select count(*)::text from a").await, ["5"], "all or nothing");
}

#[tokio::test]
async fn what_cannot_run_is_refused_with_its_class() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    execute(database.url(), "create table a (x int primary key); insert into a values (1)").await;
    for (statements, class, said) in [
        (json!([]), "BadSql", "0 entries"),
        (json!(["select 1; select 2"]), "BadSql", "multiple commands"),
        (json!(["select 1\n\n from gone"]), "BadSql", "line 3"),
        (json!(["insert into a values (2)", "COMMIT"]), "BadSql", "`commit`"),
        (json!([{ "sql": "select $1::int", "params": [] }]), "BadParam", "1 parameter(s)"),
        (json!([{ "sql": "select 1", "params": [1] }]), "BadParam", "0 parameter(s)"),
        (json!([{ "sql": "select $1::int", "params": ["hunter2"] }]), "BadParam", "$1 does not read as integer"),
        (json!([{ "sql": "select $1::int", "params": [{}] }]), "BadParam", "object"),
        (json!(["insert into a values (1)"]), "RowRefused", "duplicate key"),
        (json!(["set local role pg_read_all_settings", "select * from a"]), "Denied", "permission denied"),
        (json!(["vacuum a"]), "BadSql", "transaction block"),
    ] {
        let error = run_sql(&run, statements.clone()).await.unwrap_err();
        assert_eq!(error.class(), class, "{statements}: {error}");
        assert!(error.message().contains(said) && !error.message().contains("hunter2"), "{statements}: {error}");
    }
    assert_eq!(texts(database.url(), "select x::text from a").await, ["1"]);
}

#[tokio::test]
async fn parameters_have_the_type_that_the_statement_gives_them() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    execute(
        database.url(),
        "create type mood as enum ('well', 'ill');
         create table p (i int2, f float4, n numeric, t timestamptz, d date, j jsonb, u uuid, a text[], b bool, e mood, h inet,
             c char(3), v varchar(2))",
    )
    .await;
    let values = json!([
        7, 0.5, 12_345_678_901_234_567_890.5_f64, "2026-01-01T00:00:00Z", "2026-01-31", { "a": [1, null] },
        "01890a5d-ac96-774b-bcce-b302099a8057", ["x", null, "a\"b"], true, "ill", "10.0.0.0/8", "abc", "'; drop table p; --"
    ]);
    let insert = "insert into p values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, left($13, 2))";
    run_sql(&run, json!([{ "sql": insert, "params": values }])).await.unwrap();
    let nulls: Vec<Value> = vec![Value::Null; 13];
    run_sql(&run, json!([{ "sql": insert, "params": nulls }])).await.unwrap();
    assert_eq!(
        texts(database.url(), "select (p.*)::text from p").await,
        [
            "(7,0.5,12345678901234567000,\"2026-01-01 00:00:00+00\",2026-01-31,\"{\"\"a\"\": [1, null]}\",\
             01890a5d-ac96-774b-bcce-b302099a8057,\"{x,NULL,\"\"a\\\\\"\"b\"\"}\",t,ill,10.0.0.0/8,abc,';)",
            "(,,,,,,,,,,,,)"
        ]
    );
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_not_done_twice() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    execute(database.url(), "create table a (x int)").await;
    let statements = json!(["insert into a values (1)"]);
    let first = run_as(&run, statements.clone(), 1).await.unwrap();
    // The attempt died after its commit: the engine never heard of it.
    let second = run_as(&run, statements.clone(), 2).await.unwrap();
    assert_eq!((second.rows, second.reused, second.statements), (1, true, first.statements));
    assert_eq!(texts(database.url(), "select count(*)::text from a").await, ["1"]);

    // An attempt whose transaction was rolled back after it had kept its id is done again.
    let context = run.context("other", 1, None);
    let server = Server::of("warehouse", &context.connection_named("warehouse").unwrap(), &context).unwrap();
    let mut session = server.connect(&context).await.unwrap();
    session.execute("begin").await.unwrap();
    session.execute("insert into a values (2)").await.unwrap();
    keep(&mut session, &context, &whole(Vec::new())).await.unwrap();
    let params = || serde_json::from_value(json!({ "statements": ["insert into a values (2)"] })).unwrap();
    let running = SqlRun::run(params(), &run.context("other", 2, None)).await.unwrap_err();
    assert_eq!((running.class(), running.message().contains("in progress")), ("Warehouse", true), "{running}");
    session.execute("rollback").await.unwrap();
    assert!(!SqlRun::run(params(), &run.context("other", 3, None)).await.unwrap().reused);
    assert!(SqlRun::run(params(), &run.context("other", 4, None)).await.unwrap().reused);
    assert_eq!(texts(database.url(), "select count(*)::text from a where x = 2").await, ["1"]);
}

#[tokio::test]
async fn a_cancelled_statement_ends_on_the_server() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    execute(database.url(), "create table a (x int)").await;
    cancelled_while_locked(&run, database.url(), "a", Box::pin(run_sql(&run, json!(["insert into a values (1)"]))))
        .await;
    assert_eq!(texts(database.url(), "select count(*)::text from a").await, ["0"]);
}

#[tokio::test]
async fn queries_run_on_the_tables_of_a_lake_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    run.connect("warehouse", json!({ "kind": "warehouse", "engine": "lake", "tables": { "t": "stored" } }));
    crate::sql_lake::testing::table(&run, "stored", &[(1, "a"), (2, "b"), (3, "b")]).await;
    let report = run_sql(
        &run,
        json!([
            "with own as (select * from t) select * from own",
            { "sql": "select * from t where x >= $1 and name = $2", "params": [2, "b"] },
        ]),
    )
    .await
    .unwrap();
    assert_eq!(report.statements.iter().map(|statement| statement.rows).collect::<Vec<_>>(), [3, 2]);
    for (statements, class) in [
        (json!(["drop table t"]), "BadSql"),
        (json!(["select * from gone"]), "BadSql"),
        (json!(["selec"]), "BadSql"),
        (json!([{ "sql": "select $1", "params": [] }]), "BadParam"),
        (json!([{ "sql": "select * from t where x = $1", "params": [[1]] }]), "BadParam"),
    ] {
        let error = run_sql(&run, statements.clone()).await.unwrap_err();
        assert_eq!(error.class(), class, "{statements}: {error}");
    }
    run.connect("warehouse", json!({ "kind": "warehouse", "engine": "clickhouse" }));
    assert_eq!(run_sql(&run, json!(["select 1"])).await.unwrap_err().class(), "BadConnection");
}

#[tokio::test]
async fn statements_of_clickhouse_are_done_once_each() {
    use crate::clickhouse::testing;
    let Some(database) = updraft_testkit::services::clickhouse::fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    testing::connect(&run, "warehouse", database.address(), database.name());
    let statements = json!([
        "create table a (x Int64, t Nullable(String)) engine = MergeTree order by x",
        { "sql": "insert into a select number, $2 from numbers($1);", "params": [5, "it's $1\n\t"] },
        "select * from a",
        "-- only words\n;",
        { "sql": "insert into gone select $1", "params": [1] },
    ]);
    let error = run_as(&run, statements.clone(), 1).await.unwrap_err();
    assert_eq!(error.class(), "BadSql");
    assert!(error.message().starts_with("statements[4]"), "{error}");
    // What was done is not done again; what was begun and not done is told.
    testing::execute(&database, &["create table {d}.gone (x Int64) engine = MergeTree order by x"]);
    assert_eq!(run_as(&run, statements.clone(), 2).await.unwrap_err().class(), "Unknown");
    assert_eq!(testing::answer(&database, "select count() from {d}.a"), "5");
    assert_eq!(testing::answer(&database, "select t from {d}.a limit 1"), "it\\'s $1\\n\\t");

    let report =
        run_sql(&run, json!(["insert into gone values (1), (2)", "select * from gone", "-- none"])).await.unwrap();
    let rows: Vec<u64> = report.statements.iter().map(|statement| statement.rows).collect();
    assert_eq!((rows, report.rows, report.reused), (vec![2, 2, 0], 4, false));
    let twice = |try_no| {
        let params = serde_json::from_value(json!({ "statements": ["insert into gone values (3)"] })).unwrap();
        let context = run.context("twice", try_no, None);
        async move { SqlRun::run(params, &context).await.unwrap() }
    };
    let (first, second) = (twice(1).await, twice(2).await);
    assert_eq!((first.rows, first.reused, second.rows, second.reused), (1, false, 1, true));
    assert_eq!(testing::answer(&database, "select count() from {d}.gone"), "3");

    for (statements, class) in [
        (json!(["select 1; select 2"]), "BadSql"),
        (json!(["selec 1"]), "BadSql"),
        (json!([{ "sql": "select $1", "params": [] }]), "BadParam"),
        (json!(["select toUInt8('x')"]), "RowRefused"),
    ] {
        let error = run_sql(&run, statements.clone()).await.unwrap_err();
        assert_eq!(error.class(), class, "{statements}: {error}");
    }
}

#[tokio::test]
async fn a_cancelled_statement_ends_on_clickhouse() {
    use crate::clickhouse::testing;
    let Some(server) = updraft_testkit::services::clickhouse::own_server().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    server.address().query("create database slow").unwrap();
    testing::connect(&run, "warehouse", server.address(), "slow");
    let statement = "select sum(sleepEachRow(0.001)) from numbers(1000000) settings max_block_size = 100";
    let work = Box::pin(run_sql(&run, json!([statement])));
    testing::cancelled_while(&run, server.address(), "sleepEachRow", work).await;
}
