//! The PostgreSQL store on a real server: what the conformance suite cannot ask of every store.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_cmp,
    reason = "tests say what they expect"
)]

mod accounts;
mod build;
mod commit;
mod conformance;
mod differential;
mod race;
mod scheduling;
mod schema;
mod session;
