//! Tests over files in `testdata/`: what people write, right and wrong.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_cmp,
    reason = "tests say what they expect"
)]

mod bounds;
mod corpus;
mod derived;
mod editor;
mod formatting;
mod mutation;
mod pages;
mod schedules;
mod support;
