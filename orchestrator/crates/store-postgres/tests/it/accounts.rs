//! Accounts on PostgreSQL behind the suite that every store passes, through two handles as two processes have them.

use std::sync::Arc;

use sqlx::{Connection, Executor, PgConnection};
use updraft_model::time::Timestamp;
use updraft_store::accounts::{Accounts, NewAudit, verify};
use updraft_store_postgres::PgStore;
use updraft_testkit::postgres::{Schema, fresh_schema};

async fn open() -> Option<(Vec<Arc<dyn Accounts>>, Schema)> {
    let schema = tokio::task::block_in_place(fresh_schema).unwrap()?;
    let one = PgStore::open(schema.url()).await.unwrap();
    let two = PgStore::open(schema.url()).await.unwrap();
    Some((vec![Arc::new(one), Arc::new(two)], schema))
}

updraft_store::accounts_conformance!(open);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_the_audit_log_are_neither_changed_nor_deleted_and_a_forgery_is_found() {
    let Some((handles, schema)) = open().await else { return };
    for n in 1..=5_i64 {
        let entry = NewAudit {
            at: Timestamp::from_millis(n),
            actor: "ada".to_owned(),
            role: None,
            from: "socket".to_owned(),
            action: "run.cancel".to_owned(),
            subject: n.to_string(),
            reason: None,
            detail: serde_json::json!({}),
        };
        handles[usize::from(n % 2 == 0)].append_audit(&entry).await.unwrap();
    }
    let mut raw = PgConnection::connect(schema.url()).await.unwrap();
    for refused in ["UPDATE audit SET actor = 'eve' WHERE seq = 3", "DELETE FROM audit WHERE seq = 5", "TRUNCATE audit"]
    {
        let error = raw.execute(refused).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
    // Whoever owns the tables can take the trigger away: the chain tells.
    raw.execute("ALTER TABLE audit DISABLE TRIGGER audit_is_not_touched").await.unwrap();
    raw.execute("UPDATE audit SET actor = 'eve' WHERE seq = 3").await.unwrap();
    assert_eq!(verify(handles[0].as_ref()).await.unwrap().first_bad, Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_tells_how_the_way_to_it_is_protected() {
    let Some(schema) = tokio::task::block_in_place(fresh_schema).unwrap() else { return };
    let store = PgStore::open(schema.url()).await.unwrap();
    let found = store.protection().await.unwrap();
    let mut raw = PgConnection::connect(schema.url()).await.unwrap();
    let superuser: bool =
        sqlx::query_scalar("SELECT current_setting('is_superuser') = 'on'").fetch_one(&mut raw).await.unwrap();
    assert_eq!((found.here, found.superuser), (true, superuser));
}
