//! Real servers for development and tests, without containers: fetched once, started when they are wanted, ended when
//! nobody wants them any more.
//!
//! Every server comes in two forms. The **shared** one is started by the first test process that asks, used by all that
//! ask while it runs, and ended a grace time after the last of them has left; tests keep apart by databases, buckets and
//! prefixes of topics of their own ([`unique`]). An [`Own`] one belongs to a test that stops, kills and restarts it. No
//! process is left behind however a test ends: see [`keeper`].
//!
//! Each function that gives a server returns `None`, after a loud skip, where the server cannot be had: no Java, no
//! registry in reach. A server that is there and does not work is an error.

mod cache;
pub mod catalog;
pub mod clickhouse;
pub mod compose;
pub mod connect;
pub(crate) mod fetch;
pub mod http;
pub mod kafka;
mod keeper;
pub(crate) mod launch;
pub(crate) mod missing;
mod own;
mod place;
pub(crate) mod ports;
pub mod prometheus;
pub mod s3;
pub mod set;
pub mod shared;
pub mod smtp;
pub mod spark;

use uuid::Uuid;

pub use launch::Kind;
pub use missing::Missing;
pub use own::Own;

/// A name that no other test has: `updraft-test-…`, fit for a bucket and a topic's prefix.
pub fn unique() -> String {
    format!("updraft-test-{}", Uuid::new_v4().simple())
}
