//! The pure core of Updraft: ids, workflows, graphs, states, events, and the two functions that decide everything,
//! `decide` and `apply`.
//!
//! Nothing here does I/O, reads a clock, draws a random number, or knows of tokio or SQL. What happens to a run is a
//! function of its state, an input and an instant.
#![warn(missing_docs)]

pub mod access;
pub mod apply;
pub mod canonical;
mod change;
pub mod decide;
pub mod effects;
pub mod event;
pub mod explain;
pub mod graph;
pub mod id;
pub mod input;
pub mod interval;
pub mod judge;
pub mod mapped;
pub mod preview;
pub mod record;
pub mod retry;
pub mod run;
pub mod schedule;
pub mod span;
pub mod state;
pub mod time;
pub mod trigger_rule;
pub mod words;
pub mod workflow;

/// Order among ready task runs: smaller goes first. Ageing comes for free: one point of priority is worth five
/// minutes of waiting.
pub fn rank(ready_at: time::Timestamp, priority: i32) -> i64 {
    ready_at.as_millis() - 300_000 * i64::from(priority)
}
