//! The other side of the API: how commands reach a daemon, or the store itself.
//!
//! In this order: `--server URL` with a token, the socket of a daemon on this store, the store itself. In the last case this
//! process serves the same API to itself over a private socket, so that every command is written once.

mod client;
mod reach;
mod socket;

pub use client::Api;
pub use reach::with;
pub use socket::sockets;
