//! PostgreSQL behind the suite that every store passes.

use std::sync::Arc;

use updraft_store::{Reader, Store};
use updraft_store_postgres::PgStore;
use updraft_testkit::postgres::{Schema, fresh_schema};

async fn open() -> Option<(Arc<dyn Store>, Arc<dyn Reader>, Schema)> {
    let schema = tokio::task::block_in_place(fresh_schema).unwrap()?;
    let store = PgStore::open(schema.url()).await.unwrap();
    Some((Arc::new(store.clone()), Arc::new(store), schema))
}

updraft_store::conformance!(open);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_kept_and_read() {
    let Some(schema) = tokio::task::block_in_place(fresh_schema).unwrap() else { return };
    let store = Arc::new(PgStore::open(schema.url()).await.unwrap());
    let world = updraft_store::conformance::World::new(Arc::clone(&store) as _, Arc::clone(&store) as _).await;
    updraft_store::conformance::logs::everything(&world, Arc::clone(&store) as _).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_kept_small_and_reads_the_same() {
    let Some(schema) = tokio::task::block_in_place(fresh_schema).unwrap() else { return };
    let store = Arc::new(PgStore::open(schema.url()).await.unwrap());
    let world = updraft_store::conformance::World::new(Arc::clone(&store) as _, Arc::clone(&store) as _).await;
    updraft_store::conformance::upkeep::everything(&world, &*store, &*store).await;
    world.close().await;
}
