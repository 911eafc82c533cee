//! The memory store's schedules behind the suite that every store passes.

use std::sync::Arc;

use updraft_model::time::Timestamp;
use updraft_store::MemoryStore;
use updraft_store::conformance::scheduling::Scheduled;

#[expect(clippy::unused_async, reason = "the suite opens stores that take time")]
async fn open() -> Option<(Scheduled, ())> {
    let store = Arc::new(MemoryStore::new(|| Timestamp::from_millis(0)));
    Some((Scheduled { store: Arc::clone(&store) as _, scheduling: vec![store] }, ()))
}

updraft_store::scheduling_conformance!(open);
