//! The plans of the statements of history: there is an index for whatever is asked for.

use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};
use updraft_store::history::samples;
use updraft_testkit::postgres::fresh_schema;

use super::{bound, statement};
use crate::PgStore;
use crate::plans::analyze;
use crate::target::{Target, Use};

const BIG: [&str; 6] = ["run", "run_log", "task_run", "work", "attempt", "task_item"];
/// Few rows whatever the history holds: read whole.
const SMALL: [&str; 4] = ["work_due", "work_of_worker", "work_ready", "run_open"];
/// Walked in the order of a list, up to its limit.
const ORDERED: [&str; 3] = ["run_by_created_at", "run_by_logical", "run_by_ended_at"];

/// Enough for the planner to tell one index from another.
const ROWS: &str = "
    INSERT INTO run (run_id, workflow_id, version_id, run_key, trigger, logical_at, interval_start, interval_end, conf, queue,
        priority, state, cause, version, stamp, events, generation, created_at, started_at, ended_at, updated_at)
    SELECT gen_random_uuid(), i % 20, 1, i::text, 'manual', at, at, at, '{}', 'q', 0,
        CASE WHEN i % 10 = 0 THEN 'failed' ELSE 'succeeded' END, 'completed', 1, gen_random_uuid(), 1, 0, at, at,
        at + interval '1 minute', at
    FROM (SELECT i, now() - i * interval '1 minute' AS at FROM generate_series(1, 3000) i) made;
    INSERT INTO task_run (run_id, task_id, map_index, generation, dispatch_no, try_no, losses, state, cause, started_at, ended_at)
    SELECT run_id, 't' || n, -1, 0, 1 + (random() < 0.03)::int, 1, 0, CASE WHEN n = 1 THEN state ELSE 'succeeded' END, 'task',
        started_at, ended_at FROM run CROSS JOIN generate_series(1, 5) n;
    INSERT INTO attempt (run_id, task_id, map_index, dispatch_no, attempt_id, try_no, generation, worker_no, claimed_at, ended_at,
        outcome, cause, ready_at)
    SELECT run_id, task_id, -1, 1, gen_random_uuid(), 1, 0, 1, started_at,
        ended_at, CASE WHEN random() < 0.01 THEN 'lost' ELSE 'succeeded' END, 'task', started_at - random() * interval '1.1 s'
    FROM task_run;
    INSERT INTO run_log SELECT run_id, 1, stamp, now(), 'test', '[]' FROM run";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_list_reads_all_of_a_big_table() {
    let Some(schema) = tokio::task::block_in_place(fresh_schema).unwrap() else { return };
    PgStore::migrate(schema.url()).await.unwrap();
    let target = Target::parse(schema.url()).unwrap();
    let mut connection = target.options(Use::Reader).connect().await.unwrap();
    sqlx::raw_sql(ROWS).execute(&mut connection).await.unwrap();
    analyze(&mut connection, "ANALYZE").await;
    // The tables are small: without this, reading all of one may be cheapest.
    sqlx::raw_sql("SET enable_seqscan = off; SET enable_bitmapscan = off").execute(&mut connection).await.unwrap();
    let mut looked_at = 0;
    for question in samples::questions() {
        let Some((text, values)) = statement(&question) else { continue };
        let explain = AssertSqlSafe(format!("EXPLAIN (FORMAT JSON) {text}"));
        let row = sqlx::query_with(explain, bound(values).unwrap())
            .fetch_one(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        let plan = row.get::<sqlx::types::Json<Value>, _>(0).0;
        let mut faults = Vec::new();
        judge(&plan[0]["Plan"], &mut faults);
        assert!(faults.is_empty(), "{faults:?}\n{text}\n{plan:#}");
        looked_at += 1;
    }
    assert!(looked_at > 100, "only {looked_at} statements");
    let _: PgConnection = connection;
}

fn judge(node: &Value, faults: &mut Vec<String>) {
    let text = |key: &str| node[key].as_str().unwrap_or_default();
    let (kind, relation, index) = (text("Node Type"), text("Relation Name"), text("Index Name"));
    if BIG.contains(&relation) {
        if kind == "Seq Scan" {
            faults.push(format!("reads all of {relation}"));
        }
        let whole = kind.starts_with("Index") && text("Index Cond").is_empty();
        if whole && !SMALL.contains(&index) && !ORDERED.contains(&index) {
            faults.push(format!("reads all of index {index}"));
        }
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        judge(child, faults);
    }
}
