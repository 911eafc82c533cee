//! The memory store behind the suite that every store passes.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_cmp,
    reason = "tests say what they expect"
)]

use std::sync::Arc;

use updraft_model::time::Timestamp;
use updraft_store::{MemoryStore, Reader, Store};

async fn open() -> (Arc<dyn Store>, Arc<dyn Reader>, ()) {
    let store = MemoryStore::new(|| Timestamp::from_datetime(chrono::Utc::now()));
    (Arc::new(store.clone()), Arc::new(store), ())
}

updraft_store::conformance!(open);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_kept_and_read() {
    let store = Arc::new(MemoryStore::new(|| Timestamp::from_datetime(chrono::Utc::now())));
    let world = updraft_store::conformance::World::new(Arc::clone(&store) as _, Arc::clone(&store) as _).await;
    updraft_store::conformance::logs::everything(&world, store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_kept_small_and_reads_the_same() {
    let store = Arc::new(MemoryStore::new(|| Timestamp::from_datetime(chrono::Utc::now())));
    let world = updraft_store::conformance::World::new(Arc::clone(&store) as _, Arc::clone(&store) as _).await;
    updraft_store::conformance::upkeep::everything(&world, &*store, &*store).await;
}
