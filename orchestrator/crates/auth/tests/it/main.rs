//! Accounts and connections over a real store, with a clock that the test moves.
#![allow(clippy::unwrap_used, reason = "tests say what they expect")]

mod connections;
mod documented;
mod login;
mod tokens;
mod users;
mod world;
