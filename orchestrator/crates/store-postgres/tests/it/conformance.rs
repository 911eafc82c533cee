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
