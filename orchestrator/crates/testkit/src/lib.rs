//! What the tests of this workspace share: a stand-in for the OpenSky API, real servers (PostgreSQL, S3, Kafka, ClickHouse,
//! Spark and more), skips that are not overlooked, the real binary as a child process, and a proxy that cuts connections.
//!
//! Development only. Nothing here knows any other crate of ours, so every crate can use it.

pub mod opensky;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod services;
pub mod skip;

pub use skip::{shared_data, shared_data_file};
