//! The other side of the API: how commands reach a daemon, or the store itself.
//!
//! In this order: `--server URL` with a token, the socket of a process that has this store (a daemon, or a foreground
//! `run`), the store itself. In the last case this process serves the same API to itself over a private socket, so that
//! every command is written once.

mod client;
mod reach;
mod socket;
mod sse;

pub use client::Api;
pub use reach::{until, with};
pub use socket::sockets;
