//! Ports that nobody listens on, and that the kernel gives to nobody else meanwhile.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result};
use uuid::Uuid;

/// Below the range from which outgoing connections get their ports (32768 and up as a rule): a server that is stopped and
/// started again must find its port free.
const FIRST: u16 = 15_000;
const COUNT: u16 = 17_000;
const TRIES: usize = 100;

/// A port on loopback that is free right now.
pub(crate) fn free() -> Result<u16> {
    for _ in 0..TRIES {
        let (random, ..) = Uuid::new_v4().as_fields();
        let port = FIRST + u16::try_from(random % u32::from(COUNT))?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?;
    Ok(listener.local_addr().context("the listener has no address")?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_not_given_out() {
        let taken = free().unwrap();
        let _holder = TcpListener::bind((Ipv4Addr::LOCALHOST, taken)).unwrap();
        assert!((0..50).all(|_| free().unwrap() != taken));
        assert!(taken < 32_768, "{taken}");
    }
}
