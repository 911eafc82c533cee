//! Schedules on SQLite behind the suite that every store passes.

use std::sync::Arc;

use tempfile::TempDir;
use updraft_store::conformance::scheduling::Scheduled;
use updraft_store_sqlite::{OpenOptions, SqliteStore};

async fn open() -> Option<(Scheduled, TempDir)> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = SqliteStore::open(folder.path().join("store.db"), OpenOptions::default()).await.expect("open");
    let store = Arc::new(store);
    Some((Scheduled { store: Arc::clone(&store) as _, scheduling: vec![store] }, folder))
}

updraft_store::scheduling_conformance!(open);
