//! The plans of the engine's statements (engine.md F24), in the three states in which a plan can be made and kept: tables
//! never looked at, tables known to be empty, tables with rows.

use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};
use updraft_testkit::postgres::fresh_schema;

use crate::target::{Target, Use};
use crate::{PgStore, sql};

/// Statement, number of parameters.
const STATEMENTS: &[(&str, &str, usize)] = &[
    ("commit", sql::COMMIT, 12),
    ("taken", sql::TAKEN, 3),
    ("claim", sql::CLAIM, 4),
    ("due", sql::DUE, 2),
    ("next_due", sql::NEXT_DUE, 1),
    ("load", sql::LOAD, 3),
    ("lock_run", sql::LOCK_RUN, 1),
    ("lock_workflow", sql::LOCK_WORKFLOW, 1),
    ("hold", sql::HOLD, 1),
    ("withdraw", sql::WITHDRAW, 1),
    ("flag", sql::FLAG, 2),
    ("outcome", sql::OUTCOME, 3),
    ("beat", sql::BEAT, 2),
    ("executing", sql::EXECUTING, 1),
    ("suspect", sql::SUSPECT, 3),
    ("log_append", sql::LOG_APPEND, 24),
    ("log_chunks", sql::LOG_CHUNKS, 6),
    ("peers", sql::PEERS, 0),
];

/// Partial indexes that hold only what a statement wants, read from their beginning.
const READ_FROM_THE_START: &[&str] = &["work_due", "work_of_worker", "worker_serving"];

const ROWS: &str = "
    INSERT INTO run (run_id, workflow_id, version_id, run_key, trigger, logical_at, interval_start, interval_end, conf, queue,
        priority, state, version, stamp, events, generation, created_at, started_at, updated_at)
    SELECT gen_random_uuid(), i % 10, 1, i::text, 'manual', now(), now(), now(), '{}', 'q', 0, 'running', 1,
        gen_random_uuid(), 1, 0, now(), now(), now() FROM generate_series(1, 3000) i;
    INSERT INTO work (run_id, task_id, map_index, dispatch_no, try_no, losses, generation, place, queue, rank)
    SELECT run_id, 't', -1, 1, 1, 0, 0, 'r', 'q', 0 FROM run;
    INSERT INTO run_log SELECT run_id, 1, stamp, now(), 'test', '[]' FROM run";

/// Tells the planner of the tables of this schema: not of all, since other tests make and drop theirs meanwhile, and a statement
/// that holds one and waits for the next is a deadlock.
pub(crate) async fn analyze(connection: &mut PgConnection, how: &str) {
    let tables = "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables WHERE schemaname = current_schema()";
    let tables: String = sqlx::query_scalar(tables).persistent(false).fetch_one(&mut *connection).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("{how} {tables}"))).execute(connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engine_statements_look_rows_up_by_key_whenever_their_plan_was_made() {
    let Some(schema) = tokio::task::block_in_place(fresh_schema).unwrap() else { return };
    PgStore::migrate(schema.url()).await.unwrap();
    let target = Target::parse(schema.url()).unwrap();
    for (state, rows, how) in [
        ("never analysed", "", None),
        ("known to be empty", "", Some("VACUUM ANALYZE")),
        ("full", ROWS, Some("ANALYZE")),
    ] {
        let mut connection = target.options(Use::Engine).connect().await.unwrap();
        sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
        if let Some(how) = how {
            analyze(&mut connection, how).await;
        }
        for (name, statement, parameters) in STATEMENTS {
            let plan = explain(&mut connection, name, statement, *parameters).await;
            let mut faults = Vec::new();
            judge(&plan[0]["Plan"], &mut faults);
            assert!(faults.is_empty(), "{name}, tables {state}: {faults:?}\n{plan:#}");
        }
    }
}

async fn explain(connection: &mut PgConnection, name: &str, statement: &str, parameters: usize) -> Value {
    let prepare = format!("PREPARE {name}_plan AS {statement}");
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *connection).await.unwrap();
    let nulls = vec!["null"; parameters].join(", ");
    let arguments = if parameters == 0 { String::new() } else { format!("({nulls})") };
    let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE {name}_plan{arguments}");
    let row = sqlx::query(AssertSqlSafe(explain)).persistent(false).fetch_one(connection).await.unwrap();
    row.get::<sqlx::types::Json<Value>, _>(0).0
}

fn text<'p>(node: &'p Value, key: &str) -> &'p str {
    node[key].as_str().unwrap_or_default()
}

fn children(node: &Value) -> impl Iterator<Item = &Value> {
    node["Plans"].as_array().into_iter().flatten()
}

fn judge(node: &Value, faults: &mut Vec<String>) {
    let (kind, relation, index) = (text(node, "Node Type"), text(node, "Relation Name"), text(node, "Index Name"));
    let system = relation.starts_with("pg_");
    if kind == "Seq Scan" && !system {
        faults.push(format!("reads all of {relation}"));
    }
    if kind.starts_with("Index") && !system {
        if text(node, "Index Cond").is_empty() && !READ_FROM_THE_START.contains(&index) {
            faults.push(format!("reads all of index {index}"));
        }
        if relation == "run" && !["run_pkey", "run_workflow_id_run_key_key"].contains(&index) {
            faults.push(format!("looks a run up in {index}"));
        }
    }
    if kind == "Nested Loop" {
        let mut inputs =
            children(node).filter(|child| ["Outer", "Inner"].contains(&text(child, "Parent Relationship")));
        let (outer, inner) = (inputs.next(), inputs.next());
        // The answer hangs its rows on the one row of `go`; everything else must be a look-up for each row outside.
        let one_row =
            outer.is_some_and(|outer| text(outer, "CTE Name") == "go" || text(outer, "Node Type") == "Result");
        if !one_row && inner.is_some_and(reads_a_list) {
            faults.push("joins two lists".to_owned());
        }
    }
    children(node).for_each(|child| judge(child, faults));
}

/// Whether a plan goes through a whole list each time it is asked.
fn reads_a_list(node: &Value) -> bool {
    ["CTE Scan", "Function Scan", "Materialize"].contains(&text(node, "Node Type"))
        || children(node)
            .filter(|child| ["Outer", "Inner", "Subquery"].contains(&text(child, "Parent Relationship")))
            .any(reads_a_list)
}
