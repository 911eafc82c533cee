//! A planted history: runs with known troubles, and as many ordinary ones as a benchmark asks for, written the way the
//! engine writes them. Every change is an event that the model decided on, so that replaying a planted run gives its rows.
//!
//! Development only. The same seed and instant give the same history.
#![warn(missing_docs)]

pub mod draft;
pub mod logs;
pub mod rng;
pub mod script;
pub mod sim;
pub mod story;
pub mod year;
