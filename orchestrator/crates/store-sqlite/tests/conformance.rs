//! SQLite behind the suite that every store passes.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_cmp,
    reason = "tests say what they expect"
)]

use std::sync::Arc;

use tempfile::TempDir;
use updraft_store::{Reader, Store};
use updraft_store_sqlite::{OpenOptions, SqliteStore};

async fn open() -> (Arc<dyn Store>, Arc<dyn Reader>, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = SqliteStore::open(folder.path().join("store.db"), OpenOptions::default()).await.expect("open");
    let reader = store.reader();
    (Arc::new(store), Arc::new(reader), folder)
}

updraft_store::conformance!(open);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_kept_and_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store =
        Arc::new(SqliteStore::open(folder.path().join("store.db"), OpenOptions::default()).await.expect("open"));
    let reader: Arc<dyn Reader> = Arc::new(store.reader());
    let world = updraft_store::conformance::World::new(Arc::clone(&store) as _, reader).await;
    updraft_store::conformance::logs::everything(&world, Arc::clone(&store) as _).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_kept_small_and_reads_the_same() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store =
        Arc::new(SqliteStore::open(folder.path().join("store.db"), OpenOptions::default()).await.expect("open"));
    let reader: Arc<dyn Reader> = Arc::new(store.reader());
    let world = updraft_store::conformance::World::new(Arc::clone(&store) as _, reader).await;
    updraft_store::conformance::upkeep::everything(&world, &*store, &*store).await;
    world.close().await;
}
