//! PostgreSQL against the memory store: the same operations, the same answers, the same rows.

use std::sync::Arc;

use updraft_model::time::Timestamp;
use updraft_store::differential::{Side, play, seeds};
use updraft_store::{MemoryStore, Store};

use crate::build::fresh;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_answers_as_the_memory_store_does() {
    for seed in seeds(3) {
        let Some(fresh) = fresh().await else { return };
        let memory = Arc::new(MemoryStore::new(|| Timestamp::from_datetime(chrono::Utc::now())));
        let postgres = Arc::new(fresh.store.clone());
        let left = Side { store: Arc::clone(&memory) as Arc<dyn Store>, reader: memory };
        let right = Side { store: Arc::clone(&postgres) as Arc<dyn Store>, reader: postgres };
        play(seed, 300, left, right).await;
        fresh.store.close().await;
    }
}
