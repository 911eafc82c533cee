//! The engine from outside: real stores, real children, faults.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod benches;
mod children;
mod faults;
mod hops;
mod kept;
mod limits;
mod liveness;
mod log;
mod operations;
mod processes;
mod results;
mod schedules;
mod stops;
mod support;
mod workers;
