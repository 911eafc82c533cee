//! Migrations of a real ClickHouse.

use std::path::Path;

use serde_json::json;
use updraft_task::testing::TestRun;
use updraft_testkit::services::clickhouse::{Database, fresh_database, own_server};

use super::*;
use crate::clickhouse::table::Table;
use crate::clickhouse::testing::{answer, cancelled_while, connect};
use crate::clickhouse::wire::Plan;

fn write(folder: &Path, files: &[(&str, &str)]) {
    std::fs::create_dir_all(folder.join("m")).unwrap();
    for (name, sql) in files {
        std::fs::write(folder.join("m").join(name), sql).unwrap();
    }
}

/// Of the one database.
async fn of(run: &TestRun, with: serde_json::Value) -> Result<Migrated, TaskError> {
    let params = serde_json::from_value(with).unwrap();
    let report = ClickhouseMigrate::run(params, &run.context("migrate", 1, None)).await?;
    let [done] = <[Migrated; 1]>::try_from(report.databases).unwrap();
    Ok(done)
}

async fn migrate(run: &TestRun) -> Result<Migrated, TaskError> {
    of(run, json!({ "folder": "m" })).await
}

fn tables(database: &Database) -> String {
    answer(
        database,
        "select arrayStringConcat(arraySort(groupArray(name)), ' ') from system.tables where database = '{d}'",
    )
}

#[tokio::test]
async fn each_file_is_applied_once_and_a_plan_changes_nothing() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.address(), database.name());
    write(
        folder.path(),
        &[
            (
                "0001_a.sql",
                "-- a;\ncreate table a (x Int64) engine = MergeTree order by x; insert into a values (1);\n",
            ),
            ("0002_b.sql", "create table b (x Int64 comment ';') engine = MergeTree order by x"),
            ("README.md", "not SQL"),
        ],
    );
    let plan = of(&run, json!({ "folder": "m", "plan": true })).await.unwrap();
    assert_eq!((plan.already, plan.applied.len()), (0, 0));
    assert_eq!(plan.pending, ["0001_a.sql", "0002_b.sql"]);
    assert_eq!(tables(&database), "");

    let first = migrate(&run).await.unwrap();
    assert_eq!((first.already, first.pending.len()), (0, 0));
    assert_eq!(first.applied, ["0001_a.sql", "0002_b.sql"]);
    write(folder.path(), &[("0003_c.sql", "insert into a values (2)")]);
    let second = migrate(&run).await.unwrap();
    assert_eq!((second.already, second.applied), (2, vec!["0003_c.sql".to_owned()]));
    assert_eq!(migrate(&run).await.unwrap().already, 3);
    assert_eq!(answer(&database, "select groupArray(x) from (select x from {d}.a order by x)"), "[1,2]");
    assert_eq!(tables(&database), "a b updraft_migrations");

    write(folder.path(), &[("0002_b.sql", "create table b2 (x Int64) engine = MergeTree order by x")]);
    assert_eq!(migrate(&run).await.unwrap_err().class(), "ChangedMigration");
}

#[tokio::test]
async fn a_file_that_fails_says_where_and_goes_on_there_when_it_is_mended() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.address(), database.name());
    let first = "create table a (x Int64) engine = MergeTree order by x;\ninsert into a values (1);\n\n";
    write(folder.path(), &[("0001_a.sql", &format!("{first}insert into gone values (1);"))]);
    let error = migrate(&run).await.unwrap_err();
    assert_eq!(error.class(), "BadSql", "{error}");
    assert!(error.message().contains("`0001_a.sql`: statement 3 (line 4)"), "{error}");
    let changed = first.replace("(1)", "(7)");
    write(folder.path(), &[("0001_a.sql", &format!("{changed}insert into a values (2);"))]);
    let error = migrate(&run).await.unwrap_err();
    assert!(error.class() == "ChangedMigration" && error.message().contains("statement 2 (line 2)"), "{error}");
    write(folder.path(), &[("0001_a.sql", "create table a (x Int64) engine = MergeTree order by x")]);
    let error = migrate(&run).await.unwrap_err();
    assert!(error.class() == "ChangedMigration" && error.message().contains("fewer statements"), "{error}");
    write(folder.path(), &[("0001_a.sql", &format!("{first}insert into a values (2);"))]);
    assert_eq!(migrate(&run).await.unwrap().applied, ["0001_a.sql"]);
    assert_eq!(answer(&database, "select groupArray(x) from (select x from {d}.a order by x)"), "[1,2]");
}

#[tokio::test]
async fn what_was_broken_off_is_repeated_where_that_does_no_harm_and_told_otherwise() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.address(), database.name());
    let create = "create table if not exists a (x Int64) engine = MergeTree order by x";
    write(folder.path(), &[("0001_a.sql", &format!("{create};\ninsert into a values (1)"))]);
    migrate(&run).await.unwrap();
    // As when the process dies between a statement and its record.
    let forget = |rows: &str| {
        answer(
            &database,
            &format!("alter table {{d}}.updraft_migrations delete where {rows} settings mutations_sync = 2"),
        )
    };
    forget("state = 'done'");
    let error = migrate(&run).await.unwrap_err();
    assert_eq!(error.class(), "HalfApplied", "{error}");
    let told = error.message().split('`').find(|part| part.starts_with("insert into ")).unwrap().to_owned();
    let sql = error.message().split_once("say so by `").unwrap().1.split_once(")`").unwrap().0.to_owned() + ")";
    assert!(sql.starts_with(&told), "{sql}");
    answer(&database, &sql.replace("`updraft_migrations`", "{d}.updraft_migrations"));
    assert_eq!(migrate(&run).await.unwrap().applied, ["0001_a.sql"]);
    assert_eq!(answer(&database, "select count() from {d}.a"), "1");
    forget("statement = 0");
    assert_eq!(migrate(&run).await.unwrap().applied, ["0001_a.sql"]);
    assert_eq!(answer(&database, "select count() from {d}.a"), "1");
}

#[tokio::test]
async fn statements_for_a_session_are_refused_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    for (sql, line) in
        [("select 1;\nSET max_threads = 1", "line 2"), ("/* x */ use b", "line 1"), ("-- nothing", "no statement")]
    {
        write(folder.path(), &[("0001_a.sql", sql)]);
        let error = migrate(&run).await.unwrap_err();
        assert!(error.class() == "BadMigrations" && error.message().contains(line), "{error}");
    }
    write(folder.path(), &[("0001_a.sql", "select 1")]);
    run.connect("warehouse", json!({ "kind": "warehouse", "engine": "lake" }));
    assert_eq!(migrate(&run).await.unwrap_err().verdict(), &Verdict::Skip);
}

#[tokio::test]
async fn a_statement_is_ended_on_the_server_when_it_is_cancelled() {
    let Some(server) = own_server().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    server.address().query("create database slow").unwrap();
    connect(&run, "warehouse", server.address(), "slow");
    let sql = "create table a engine = MergeTree order by x as select sum(sleepEachRow(0.001)) as x from numbers(1000000) \
               settings max_block_size = 100";
    write(folder.path(), &[("0001_a.sql", sql)]);
    cancelled_while(&run, server.address(), "create table a engine", migrate(&run)).await;
}

#[tokio::test]
async fn the_tables_of_opensky_take_validated_states_and_views_count_them() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.address(), database.name());
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows/opensky/clickhouse");
    let applied = of(&run, json!({ "folder": shipped })).await.unwrap().applied;
    assert_eq!(applied.len(), 3);
    assert_eq!(
        tables(&database),
        "country_statistics_hourly country_statistics_mv flights_batch flights_latest flights_latest_mv flights_streaming \
         processed_flights quality_results traffic_windows updraft_migrations"
    );
    let context = run.context("load", 1, None);
    let server = Server::of("warehouse", &context.connection_named("warehouse").unwrap(), &context).unwrap();
    for name in ["flights_streaming", "flights_batch"] {
        let table = Table::find(&server, name).await.unwrap();
        assert_eq!(Plan::new(&crate::opensky::state_columns(), &table).unwrap().columns.len(), 28, "{name}");
    }
}
