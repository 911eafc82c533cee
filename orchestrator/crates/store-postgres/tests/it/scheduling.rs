//! Schedules on PostgreSQL behind the suite that every store passes, through two handles as two processes have them.

use std::sync::Arc;

use updraft_store::conformance::scheduling::Scheduled;
use updraft_store_postgres::PgStore;
use updraft_testkit::postgres::{Schema, fresh_schema};

async fn open() -> Option<(Scheduled, Schema)> {
    let schema = tokio::task::block_in_place(fresh_schema).unwrap()?;
    let one = PgStore::open(schema.url()).await.unwrap();
    let two = PgStore::open(schema.url()).await.unwrap();
    let scheduled = Scheduled { store: Arc::new(one.clone()), scheduling: vec![Arc::new(one), Arc::new(two)] };
    Some((scheduled, schema))
}

updraft_store::scheduling_conformance!(open);
