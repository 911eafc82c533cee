//! Accounts on SQLite behind the suite that every store passes, and what the file itself refuses.
#![allow(clippy::unwrap_used, reason = "tests say what they expect")]

use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};
use tempfile::TempDir;
use updraft_model::time::Timestamp;
use updraft_store::Store;
use updraft_store::accounts::{Accounts, NewAudit, verify};
use updraft_store_sqlite::{OpenOptions, SqliteStore};

async fn open() -> Option<(Vec<Arc<dyn Accounts>>, TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("store.db"), OpenOptions::default()).await.unwrap();
    Some((vec![Arc::new(store)], folder))
}

updraft_store::accounts_conformance!(open);

fn entry(n: i64) -> NewAudit {
    NewAudit {
        at: Timestamp::from_millis(n),
        actor: "ada".to_owned(),
        role: None,
        from: "socket".to_owned(),
        action: "run.cancel".to_owned(),
        subject: n.to_string(),
        reason: None,
        detail: serde_json::json!({}),
    }
}

#[tokio::test]
async fn entries_of_the_audit_log_are_neither_changed_nor_deleted_and_a_forgery_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path, OpenOptions::default()).await.unwrap();
    for n in 1..=5 {
        store.append_audit(&entry(n)).await.unwrap();
    }
    let mut raw = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    for refused in ["UPDATE audit SET actor = 'eve' WHERE seq = 3", "DELETE FROM audit WHERE seq = 5"] {
        let error = raw.execute(refused).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
    // Whoever owns the file can take the triggers away: the chain tells.
    raw.execute("DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_deleted").await.unwrap();
    raw.execute("UPDATE audit SET actor = 'eve' WHERE seq = 3").await.unwrap();
    assert_eq!(verify(&store).await.unwrap().first_bad, Some(3));
    raw.execute("DELETE FROM audit WHERE seq = 3").await.unwrap();
    let found = verify(&store).await.unwrap();
    assert_eq!((found.first_bad, found.last.map(|(seq, _)| seq)), (Some(4), Some(2)));
    store.close().await;
}
