//! The store on one SQLite file: no server, one owning process, the same answers as every other store.
//!
//! Read `queries/commit.sql` first (the hop), then `writer` (who writes), `lane` (one run under its lock) and `load`.
//! No rule of the engine lives here.
#![warn(missing_docs)]

mod accounts;
mod batch;
mod checkpoint;
mod connect;
mod encode;
mod error;
mod history;
mod idempotency;
mod lane;
mod load;
mod lock;
mod logs;
mod migrate;
#[cfg(test)]
mod plans;
mod query;
mod read_pool;
mod reader;
mod rows;
mod scheduling;
mod sql;
mod store;
mod upkeep;
mod writer;

pub use lock::{lock_path, owner};
pub use reader::SqliteReader;
pub use store::{OpenOptions, SqliteStore};
