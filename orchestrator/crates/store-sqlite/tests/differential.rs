//! SQLite against the memory store: the same operations, the same answers, the same rows.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_cmp,
    reason = "tests say what they expect"
)]

use std::sync::Arc;

use updraft_model::time::Timestamp;
use updraft_store::differential::{Side, play, seeds};
use updraft_store::{MemoryStore, Store};
use updraft_store_sqlite::{OpenOptions, SqliteStore};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_answers_as_the_memory_store_does() {
    for seed in seeds(8) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let sqlite = SqliteStore::open(folder.path().join("store.db"), OpenOptions::default()).await.expect("open");
        let reader = Arc::new(sqlite.reader());
        let sqlite = Arc::new(sqlite);
        let memory = Arc::new(MemoryStore::new(|| Timestamp::from_datetime(chrono::Utc::now())));
        let left = Side { store: Arc::clone(&memory) as Arc<dyn Store>, reader: memory };
        let right = Side { store: Arc::clone(&sqlite) as Arc<dyn Store>, reader };
        play(seed, 300, left, right).await;
        sqlite.close().await;
    }
}
