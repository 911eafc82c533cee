//! Carries runs out: commits what follows from finished attempts, starts what comes next, keeps leases, timers, logs and
//! children. What follows from what is the model's matter; where it is kept is a store's.
//!
//! Begin at [`Engine`]; the hot path is `committer`.
#![warn(missing_docs)]

mod attempt;
pub mod bench;
pub mod bench_schedules;
mod cache;
pub mod child;
mod committer;
mod config;
mod engine;
mod error;
mod event;
mod host;
mod live;
mod liveness;
pub mod logs;
mod operations;
mod owned;
mod plan;
mod run_handle;
pub mod scheduler;
mod shared;
mod spool;
mod timers;

pub use attempt::MAX_OUTPUT_BYTES;
pub use config::{Clock, ConnectionSource, EngineConfig, NewRun, NoConnections, Probe, SystemClock, Watch};
pub use engine::Engine;
pub use error::EngineError;
pub use event::EngineEvent;
pub use operations::{MarkRequest, Operation, RetryRequest};
pub use run_handle::{RunEnd, RunHandle};
