//! Each filter of the audit log has its index.

use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use updraft_testkit::postgres::fresh_schema;

use super::sql;
use crate::PgStore;
use crate::plans::analyze;
use crate::target::{Target, Use};

const ROWS: &str = "
    INSERT INTO audit (seq, at, actor, origin, action, subject, detail, prev_hash, hash)
    SELECT i, now() - (20000 - i) * interval '1 min', 'user ' || i % 50, 'socket', 'action ' || i % 40, 'run ' || i, '{}',
        lpad(i::text, 64, '0'), lpad(i::text, 64, '0') FROM generate_series(1, 20000) i";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_is_paged_by_indexes() {
    let Some(schema) = tokio::task::block_in_place(fresh_schema).unwrap() else { return };
    PgStore::migrate(schema.url()).await.unwrap();
    let mut connection = Target::parse(schema.url()).unwrap().options(Use::Accounts).connect().await.unwrap();
    sqlx::raw_sql(ROWS).execute(&mut connection).await.unwrap();
    analyze(&mut connection, "ANALYZE").await;
    let audit = |values: &str| (sql::AUDIT, format!("({values}, 50)"));
    let cases = [
        audit("null, null, null, null, null, null"),
        audit("null, null, null, null, null, 9000"),
        audit("'user 7', null, null, null, null, null"),
        audit("'user 7', null, null, null, null, 9000"),
        audit("null, 'action 7', null, null, null, null"),
        audit("null, null, 'run 7', null, null, null"),
        audit("null, null, null, now() - interval '1 h', now(), null"),
        (sql::AUDIT_AFTER, "(500, 100)".to_owned()),
        (sql::LAST_AUDIT, String::new()),
    ];
    for (number, (statement, values)) in cases.iter().enumerate() {
        let prepare = format!("PREPARE plan_{number} AS {statement}");
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut connection).await.unwrap();
        let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE plan_{number}{values}");
        let row = sqlx::query(AssertSqlSafe(explain)).persistent(false).fetch_one(&mut connection).await.unwrap();
        let plan = row.get::<sqlx::types::Json<Value>, _>(0).0.to_string();
        assert!(!plan.contains("Seq Scan"), "{statement}{values}: {plan}");
    }
}
