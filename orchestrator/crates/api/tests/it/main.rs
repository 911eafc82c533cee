//! The API over real TCP, with a real store and engine in process.
#![expect(clippy::unwrap_used, reason = "tests")]

mod door;
mod http;
mod openapi;
mod pages;
mod postgres;
mod runs;
mod streams;
mod support;
mod table;
mod views;
