//! What the pure core promises.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_cmp,
    reason = "tests say what they expect"
)]

mod canonical;
mod decide;
mod events;
mod explain;
mod graph;
mod interval;
mod mapped;
mod oracle;
mod properties;
mod reopen;
mod retry;
mod schedule_fires;
mod schedule_oracle;
mod schedule_plans;
mod support;
mod transitions;
mod trigger_rules;
