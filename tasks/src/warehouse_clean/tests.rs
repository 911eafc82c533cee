//! On real servers.

use serde_json::json;
use updraft_task::Timestamp;
use updraft_task::testing::TestRun;
use updraft_testkit::postgres::fresh_database;
use updraft_testkit::services::clickhouse;

use super::*;
use crate::clickhouse::testing as ch;
use crate::lake_clean::first_kept;
use crate::postgres::testing as pg;

async fn clean(run: &TestRun, with: serde_json::Value) -> Result<WarehouseCleanReport, TaskError> {
    WarehouseClean::run(serde_json::from_value(with).unwrap(), &run.context("clean", 1, Some("warehouse"))).await
}

fn days_ago(days: u32) -> String {
    first_kept(Timestamp::from_datetime(chrono::Utc::now()), days).to_string()[..10].to_owned()
}

#[tokio::test]
async fn partitions_and_rows_of_postgres_go_when_they_are_past_as_a_whole() {
    let Some(database) = fresh_database().unwrap() else { return };
    let url = database.url();
    let days = [(9, 8), (8, 7), (7, 6), (1, 0)].into_iter().enumerate();
    let partitions = days.map(|(number, (from, to))| {
        let (from, to) = (days_ago(from), days_ago(to));
        format!(
            "create table states_{number} partition of states for values from ('{from} 00:00Z') to ('{to} 00:00Z');\
             insert into states select n, '{from} 23:59:59.9Z' from generate_series(1, 10) n;\
             insert into figures values ({number}, '{from}');"
        )
    });
    let tables = "create table states (id int, at timestamptz, primary key (id, at)) partition by range (at);\
                  create table figures (id int primary key, day date);";
    let ddl: String = std::iter::once(tables.to_owned()).chain(partitions).collect();
    pg::execute(url, &ddl).await;
    // More than one statement's.
    pg::execute(url, &format!("insert into figures select n, '{}' from generate_series(100, 30099) n", days_ago(400)))
        .await;
    // They are the whole server's.
    let slot = pg::texts(url, "select 'slot_of_' || current_database()").await.remove(0);
    pg::execute(url, &format!("select pg_create_physical_replication_slot('{slot}', true)")).await;

    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    pg::connect(&run, "warehouse", url);
    let retention = json!([
        { "table": "states", "column": "at", "days": 7 },
        { "table": "figures", "column": "day", "days": 7 },
    ]);
    let listed = clean(&run, json!({ "retention": retention, "slot_warn_mib": 0 })).await.unwrap();
    let [states, figures] = &listed.targets[0].tables[..] else { panic!("{listed:?}") };
    let named: Vec<&str> = states.partitions.iter().map(|name| name.rsplit('.').next().unwrap()).collect();
    assert_eq!((named, states.rows, figures.rows, listed.removed), (vec!["states_0", "states_1"], 20, 30_002, 0));
    let slots = &listed.targets[0].slots;
    let found = slots.iter().find(|found| found.name == slot).unwrap_or_else(|| panic!("{slot}: {slots:?}"));
    assert!(!found.active);
    pg::execute(url, &format!("select pg_drop_replication_slot('{slot}')")).await;
    let count = || async {
        pg::texts(url, "select (select count(*) from states) || ' ' || (select count(*) from figures)").await
    };
    assert_eq!(count().await, ["40 30004"]);

    for removed in [30_022, 0] {
        let done = clean(&run, json!({ "retention": retention, "dry_run": false })).await.unwrap();
        assert_eq!((done.rows, done.removed), (removed, removed));
        assert_eq!(count().await, ["20 2"]);
    }

    for (rule, class, part) in [
        (json!({ "table": "states", "column": "id", "days": 7 }), "BadColumn", "partitioned by `at`"),
        (json!({ "table": "figures", "column": "id", "days": 7 }), "BadColumn", "time or a date"),
        (json!({ "table": "figures", "column": "none", "days": 7 }), "BadColumn", "time or a date"),
        (json!({ "table": "nowhere", "column": "at", "days": 7 }), "BadTable", "nowhere"),
    ] {
        let error = clean(&run, json!({ "retention": [rule], "dry_run": false })).await.unwrap_err();
        assert_eq!(error.class(), class, "{error}");
        assert!(error.message().contains(part) && error.message().contains("warehouse"), "{error}");
    }
}

#[tokio::test]
async fn a_partition_that_somebody_reads_is_left_for_another_try() {
    let Some(database) = fresh_database().unwrap() else { return };
    let url = database.url();
    let ddl = "create table states (id int, at timestamptz, primary key (id, at)) partition by range (at);\
               create table states_0 partition of states for values from ('2020-01-01 00:00Z') to ('2020-01-02 00:00Z');";
    pg::execute(url, ddl).await;
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    pg::connect(&run, "warehouse", url);
    let with = json!({ "dry_run": false, "retention": [{ "table": "states", "column": "at", "days": 7 }] });
    Box::pin(pg::cancelled_while_locked(&run, url, "states_0", clean(&run, with))).await;
    assert_eq!(pg::texts(url, "select to_regclass('states_0')::text").await, ["states_0"]);
}

#[tokio::test]
async fn what_clickhouse_should_have_removed_is_named_and_removed() {
    let Some(database) = clickhouse::fresh_database().unwrap() else { return };
    let ddl = |name: &str| {
        format!(
            "create table {{d}}.{name} (id UInt32, at DateTime('UTC')) engine = MergeTree order by id partition by toDate(at) \
             ttl at + interval 30 day settings ttl_only_drop_parts = 1, merge_with_ttl_timeout = 1000000"
        )
    };
    ch::execute(
        &database,
        &[
            &ddl("states"),
            "system stop ttl merges {d}.states",
            "insert into {d}.states select number, now() - interval number * 24 + 12 hour from numbers(41)",
            "create table {d}.lasting (id UInt32) engine = MergeTree order by id",
        ],
    );
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    ch::connect(&run, "warehouse", database.address(), database.name());
    let listed = clean(&run, json!({ "retention": [{ "table": "only_in_postgres", "column": "at", "days": 7 }] }))
        .await
        .unwrap();
    let tables = &listed.targets[0].tables;
    assert_eq!(tables.iter().map(|table| table.table.as_str()).collect::<Vec<_>>(), ["states"]);
    // Of 11 that are past their 30 days, those of the last two days are not overdue.
    assert_eq!((listed.rows, listed.removed), (9, 0));
    let done = clean(&run, json!({ "dry_run": false })).await.unwrap();
    assert_eq!((done.rows, done.removed), (9, 9));
    assert_eq!(ch::answer(&database, "select max(id) from {d}.states"), "29");
    assert_eq!(clean(&run, json!({})).await.unwrap().rows, 0);
}

#[tokio::test]
async fn a_lake_is_not_a_database_and_a_group_is_all_of_its_databases() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    run.connect("warehouse", json!({ "kind": "warehouse", "engine": "lake" }));
    let error = clean(&run, json!({})).await.unwrap_err();
    assert_eq!(error.verdict(), &updraft_task::Verdict::Skip, "{error}");

    let Some(database) = fresh_database().unwrap() else { return };
    pg::connect(&run, "postgres", database.url());
    run.connect("lake_tables", json!({ "kind": "warehouse", "engine": "lake" }));
    run.connect("warehouse", json!({ "kind": "group", "members": ["lake_tables", "postgres"] }));
    let report = clean(&run, json!({})).await.unwrap();
    assert_eq!(report.targets.iter().map(|target| target.connection.as_str()).collect::<Vec<_>>(), ["postgres"]);
}
