//! The plans of the statements about schedules, with 100,000 of them: what is asked often reads a few rows of an index.

use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use updraft_testkit::postgres::fresh_schema;

use super::sql;
use crate::PgStore;
use crate::plans::analyze;
use crate::target::{Target, Use};

/// Statement, its parameters.
const STATEMENTS: &[(&str, &str, &str)] = &[
    ("next_fire", sql::NEXT_FIRE, ""),
    ("due", sql::DUE, "now(), 100"),
    ("compiled", sql::COMPILED, "ARRAY[1, 2, 3]::int8[]"),
    ("lock_due", sql::LOCK_DUE, "ARRAY[1, 2, 3]::int8[], now()"),
    ("loads", sql::LOADS, "ARRAY[1, 2, 3]::int8[]"),
    ("move", sql::MOVE, "'[]', now()"),
    ("skip", sql::SKIP, "'[]', now()"),
    ("lock_limit", sql::LOCK_LIMIT, "7"),
    ("lock_queued", sql::LOCK_QUEUED, "7, 10"),
    ("hurry", sql::HURRY, "7, 0, now()"),
    ("startable", sql::STARTABLE, ""),
    ("schedules", sql::SCHEDULES, "'w1', 50"),
    ("one_schedule", sql::ONE_SCHEDULE, "'w1'"),
    ("next_schedules", sql::NEXT_SCHEDULES, "50"),
    ("skipped_of", sql::SKIPPED_OF, "'w1', now(), 50"),
    ("skipped", sql::SKIPPED, "NULL, now(), 50"),
];

/// Read from their beginning: in the order that is asked for, or they hold only what is wanted.
const READ_FROM_THE_START: &[&str] =
    &["schedule_due", "schedule_below", "run_open", "workflow_name_key", "skipped_fire_at"];

const BIG: &[&str] = &["schedule", "workflow", "workflow_version", "run", "skipped_fire"];

/// A year in which 100,000 workflows are scheduled; 1,000 are due, 1,000 wait for room, 100 runs are queued.
const ROWS: &str = "
    INSERT INTO workflow (name, created_at, max_active_runs) SELECT 'w' || i, now(), 16 FROM generate_series(1, 100000) i;
    INSERT INTO workflow_version (workflow_id, sha256, source, path, compiled, created_at)
    SELECT workflow_id, lpad(workflow_id::text, 64, '0'), '', 'w.yaml', '{}', now() FROM workflow;
    INSERT INTO schedule (workflow_id, version_id, progress, cursor_at, next_fire_at, below, updated_at)
    SELECT workflow_id, version_id, '{}', now(), now() + make_interval(secs => workflow_id - 1000),
        CASE WHEN workflow_id % 100 = 0 THEN 16 END, now() FROM workflow_version;
    INSERT INTO run (run_id, workflow_id, version_id, run_key, trigger, logical_at, interval_start, interval_end, conf, queue,
        priority, state, cause, version, stamp, events, generation, created_at, started_at, ended_at, updated_at)
    SELECT gen_random_uuid(), 1 + i % 50000, 1, i::text, 'schedule', now(), now(), now(), '{}', 'q', 0,
        CASE WHEN i <= 100 THEN 'queued' ELSE 'succeeded' END, CASE WHEN i > 100 THEN 'completed' END, 1,
        gen_random_uuid(), 1, 0, now(), CASE WHEN i > 100 THEN now() END, CASE WHEN i > 100 THEN now() END, now()
    FROM generate_series(1, 50000) i;
    INSERT INTO skipped_fire (workflow_id, from_at, until_at, count, reason, at)
    SELECT 1 + i % 100000, now(), now(), 1, 'overlap', now() - make_interval(mins => i) FROM generate_series(1, 50000) i";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_thousand_schedules_a_few_rows_are_read() {
    let Some(schema) = tokio::task::block_in_place(fresh_schema).unwrap() else { return };
    PgStore::migrate(schema.url()).await.unwrap();
    let target = Target::parse(schema.url()).unwrap();
    let mut connection = target.options(Use::Engine).connect().await.unwrap();
    sqlx::raw_sql("SET statement_timeout = 0").execute(&mut connection).await.unwrap();
    sqlx::raw_sql(ROWS).execute(&mut connection).await.unwrap();
    analyze(&mut connection, "ANALYZE").await;
    for (name, statement, arguments) in STATEMENTS {
        let prepare = format!("PREPARE {name}_plan AS {statement}");
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut connection).await.unwrap();
        let arguments = if arguments.is_empty() { String::new() } else { format!("({arguments})") };
        let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE {name}_plan{arguments}");
        let row = sqlx::query(AssertSqlSafe(explain)).persistent(false).fetch_one(&mut connection).await.unwrap();
        let plan = row.get::<sqlx::types::Json<Value>, _>(0).0;
        let mut faults = Vec::new();
        judge(&plan[0]["Plan"], &mut faults);
        assert!(faults.is_empty(), "{name}: {faults:?}\n{plan:#}");
    }
}

fn judge(node: &Value, faults: &mut Vec<String>) {
    let text = |key: &str| node[key].as_str().unwrap_or_default();
    let (kind, relation, index) = (text("Node Type"), text("Relation Name"), text("Index Name"));
    if kind == "Seq Scan" && BIG.contains(&relation) {
        faults.push(format!("reads all of {relation}"));
    }
    let whole = kind.contains("Index") && text("Index Cond").is_empty();
    if whole && !READ_FROM_THE_START.contains(&index) {
        faults.push(format!("reads all of index {index}"));
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        judge(child, faults);
    }
}
