//! Migrations of a real PostgreSQL.

use std::path::Path;

use serde_json::json;
use updraft_task::testing::TestRun;
use updraft_testkit::postgres::{fresh_database, own_server};

use super::*;
use crate::postgres::testing::{cancelled_while_locked, connect, execute, texts, until};
use crate::postgres::{Plan, Table};

fn write(folder: &Path, files: &[(&str, &str)]) {
    std::fs::create_dir_all(folder.join("m")).unwrap();
    for (name, sql) in files {
        std::fs::write(folder.join("m").join(name), sql).unwrap();
    }
}

fn params(plan: bool) -> MigrateParams {
    serde_json::from_value(json!({ "folder": "m", "plan": plan })).unwrap()
}

/// Of the one database.
fn only(report: MigrateReport) -> Migrated {
    let [done] = <[Migrated; 1]>::try_from(report.databases).unwrap();
    done
}

async fn migrate(run: &TestRun) -> Result<Migrated, TaskError> {
    PostgresMigrate::run(params(false), &run.context("migrate", 1, None)).await.map(only)
}

#[tokio::test]
async fn each_file_is_applied_once_and_a_plan_changes_nothing() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    write(
        folder.path(),
        &[
            ("0001_a.sql", "create table a (x int); insert into a values (1);"),
            ("0002_b.sql", "create schema elsewhere; set search_path = elsewhere; create table b (x int)"),
            ("README.md", "not SQL"),
        ],
    );
    let plan = only(PostgresMigrate::run(params(true), &run.context("migrate", 1, None)).await.unwrap());
    assert_eq!((plan.already, plan.applied.len()), (0, 0));
    assert_eq!(plan.pending, ["0001_a.sql", "0002_b.sql"]);
    assert_eq!(texts(database.url(), "select count(*)::text from pg_class where relname like 'updraft%'").await, ["0"]);

    let first = migrate(&run).await.unwrap();
    assert_eq!((first.already, first.pending.len()), (0, 0));
    assert_eq!(first.applied, ["0001_a.sql", "0002_b.sql"]);
    write(folder.path(), &[("0003_c.sql", "insert into a values (2); create table c (x int)")]);
    let second = migrate(&run).await.unwrap();
    assert_eq!((second.already, second.applied), (2, vec!["0003_c.sql".to_owned()]));
    assert_eq!(migrate(&run).await.unwrap().already, 3);
    assert_eq!(texts(database.url(), "select x::text from a order by x").await, ["1", "2"]);
    assert_eq!(
        texts(database.url(), "select number || name || (run_id is not null) from updraft_migrations order by 1").await,
        ["1atrue", "2btrue", "3ctrue"]
    );
}

#[tokio::test]
async fn a_file_that_fails_leaves_nothing_of_itself_and_says_where() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    write(
        folder.path(),
        &[
            ("0001_a.sql", "create table a (x int)"),
            ("0002_b.sql", "create table b (x int);\n\ninsert into gone values (1);"),
        ],
    );
    let error = migrate(&run).await.unwrap_err();
    assert_eq!(error.class(), "BadSql", "{error}");
    assert!(error.message().contains("`0002_b.sql`: line 3"), "{error}");
    assert_eq!(
        texts(database.url(), "select to_regclass('a') || '/' || coalesce(to_regclass('b')::text, '')").await,
        ["a/"]
    );
    // It was never applied, so it may change.
    write(folder.path(), &[("0002_b.sql", "create table b (x int)")]);
    assert_eq!(migrate(&run).await.unwrap().applied, ["0002_b.sql"]);

    for (text, class) in [
        ("create index concurrently on a (x)", "BadSql"),
        ("select 1;\ncommit;", "BadMigrations"),
        ("insert into a values ('x')", "RowRefused"),
        ("create function f() returns int language sql begin atomic select 1; end", ""),
    ] {
        write(folder.path(), &[("0003_c.sql", text)]);
        let class_found = migrate(&run).await.map_or_else(|error| error.class().to_owned(), |_| String::new());
        assert_eq!(class_found, class, "{text}");
    }
}

#[tokio::test]
async fn a_changed_file_and_a_record_of_a_newer_project_are_refused() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    write(folder.path(), &[("0001_a.sql", "create table a (x int)"), ("0002_b.sql", "create table b (x int)")]);
    migrate(&run).await.unwrap();
    write(folder.path(), &[("0001_a.sql", "create table a (x int) -- changed")]);
    for plan in [true, false] {
        let error = PostgresMigrate::run(params(plan), &run.context("migrate", 1, None)).await.unwrap_err();
        assert_eq!(error.class(), "ChangedMigration");
    }
    write(folder.path(), &[("0001_a.sql", "create table a (x int)")]);
    std::fs::remove_file(folder.path().join("m/0002_b.sql")).unwrap();
    assert_eq!(migrate(&run).await.unwrap_err().class(), "ChangedMigration");
    std::fs::remove_dir_all(folder.path().join("m")).unwrap();
    assert_eq!(migrate(&run).await.unwrap_err().class(), "BadMigrations");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_at_once_one_does_the_work() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    write(
        folder.path(),
        &[("0001_a.sql", "select pg_sleep(0.3); create table a (x int)"), ("0002_b.sql", "create table b (x int)")],
    );
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let context = run.context("migrate", 1, None);
            tokio::spawn(
                async move { PostgresMigrate::run(params(false), &context).await.map(only).unwrap().applied.len() },
            )
        })
        .collect();
    let mut applied = Vec::new();
    for task in tasks {
        applied.push(task.await.unwrap());
    }
    applied.sort_unstable();
    assert_eq!(applied, [0, 0, 0, 2]);
}

#[tokio::test]
async fn a_cancelled_migration_stops_on_the_server() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    execute(database.url(), "create table a (x int)").await;
    write(folder.path(), &[("0001_b.sql", "create table b (x int); alter table a add column y int")]);
    cancelled_while_locked(&run, database.url(), "a", Box::pin(migrate(&run))).await;
    assert_eq!(texts(database.url(), "select to_regclass('b')::text").await, ["null"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_in_the_middle_of_a_file_has_all_of_it_or_nothing() {
    let Some(mut server) = own_server().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let url = server.url();
    connect(&run, "warehouse", &url);
    write(
        folder.path(),
        &[("0001_a.sql", "create table a (x int)"), ("0002_b.sql", "create table b (x int); select pg_sleep(2)")],
    );
    let context = run.context("migrate", 1, None);
    let task = tokio::spawn(async move { PostgresMigrate::run(params(false), &context).await });
    until(
        &url,
        "select exists (select from pg_stat_activity where query like '%pg_sleep(2)' and pid <> pg_backend_pid())",
    )
    .await;
    server.kill().unwrap();
    assert_eq!(task.await.unwrap().unwrap_err().class(), "Warehouse");
    server.start_again().unwrap();
    assert_eq!(texts(&url, "select to_regclass('a') || '/' || coalesce(to_regclass('b')::text, '')").await, ["a/"]);
    let report = migrate(&run).await.unwrap();
    assert_eq!((report.already, report.applied), (1, vec!["0002_b.sql".to_owned()]));
}

#[tokio::test]
async fn the_tables_of_opensky_take_validated_states() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, "warehouse", database.url());
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows/opensky/postgres");
    let of = serde_json::from_value(json!({ "folder": shipped })).unwrap();
    let report = only(PostgresMigrate::run(of, &run.context("migrate", 1, None)).await.unwrap());
    assert_eq!(report.applied.len(), 4);
    let tables = "select string_agg(relname, ' ' order by relname) from pg_class where relkind in ('r', 'p') \
                  and relnamespace = 'public'::regnamespace";
    assert_eq!(
        texts(database.url(), tables).await,
        ["api_credit_ledger collection_runs dim_aircraft dim_airports dim_countries dim_regions flight_metrics \
          flight_statistics flights flights_batch monitoring_alerts processed_flights quality_results raw_manifest \
          updraft_migrations"]
    );
    let context = run.context("load", 1, None);
    let server = Server::of("warehouse", &context.connection_named("warehouse").unwrap(), &context).unwrap();
    let table = Table::find(&mut server.connect(&context).await.unwrap(), "processed_flights").await.unwrap();
    let plan = Plan::new(&crate::opensky::state_columns(), &table).unwrap();
    assert_eq!((plan.plain.len(), plan.collected[0].into.as_str()), (28, "regions"));
    assert_eq!(table.partitioning.map(|found| (found.column, found.monthly)), Some(("last_contact".to_owned(), false)));
}

#[tokio::test]
async fn of_a_group_its_postgres_is_meant_and_without_one_there_is_nothing_to_do() {
    let Some(database) = fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    run.connect("files", json!({ "kind": "warehouse", "engine": "lake" }));
    connect(&run, "tables", database.url());
    write(folder.path(), &[("0001_a.sql", "create table a (x int)")]);
    run.connect("warehouse", json!({ "kind": "group", "members": ["files", "tables"] }));
    assert_eq!(migrate(&run).await.unwrap().applied, ["0001_a.sql"]);
    run.connect("warehouse", json!({ "kind": "group", "members": ["files"] }));
    let error = migrate(&run).await.unwrap_err();
    assert_eq!((error.verdict(), error.class()), (&updraft_task::Verdict::Skip, "skipped"));
    assert!(error.message().contains("engine: postgres"), "{error}");
}
