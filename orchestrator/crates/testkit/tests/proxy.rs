//! The proxy between a client and an echo server.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_cmp,
    reason = "tests say what they expect"
)]

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use updraft_testkit::proxy::Proxy;

/// A server that sends back what it gets, until its process ends.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
    address
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

fn round_trip(stream: &mut TcpStream, text: &str) -> std::io::Result<String> {
    stream.write_all(text.as_bytes())?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8(answer).unwrap())
}

#[test]
fn bytes_pass_both_ways_and_an_end_is_passed_on() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    assert_eq!(round_trip(&mut stream, "hello").unwrap(), "hello");
    stream.write_all(b"last").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "last");
}

#[test]
fn a_cut_ends_open_connections_and_new_ones_work() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    assert_eq!(round_trip(&mut stream, "a").unwrap(), "a");
    proxy.cut();
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    assert!(matches!(ended, Ok(0)) || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    assert_eq!(round_trip(&mut connect(&proxy), "b").unwrap(), "b");
}

#[test]
fn a_stall_holds_everything_back_until_resumed() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    assert_eq!(round_trip(&mut stream, "a").unwrap(), "a");
    proxy.stall();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let held = round_trip(&mut stream, "held").unwrap_err();
    assert!(matches!(held.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{held}");
    proxy.resume();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"held");
}

#[test]
fn a_refusing_proxy_serves_nobody_until_resumed() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut open = connect(&proxy);
    assert_eq!(round_trip(&mut open, "a").unwrap(), "a");
    proxy.refuse();
    assert!(round_trip(&mut open, "b").is_err());
    assert!(round_trip(&mut connect(&proxy), "c").is_err());
    proxy.resume();
    assert_eq!(round_trip(&mut connect(&proxy), "d").unwrap(), "d");
}

#[test]
fn a_delay_holds_back_each_way() {
    let proxy = Proxy::start(echo()).unwrap();
    let mut stream = connect(&proxy);
    proxy.delay(Duration::from_millis(100));
    let started = Instant::now();
    assert_eq!(round_trip(&mut stream, "a").unwrap(), "a");
    assert!(started.elapsed() >= Duration::from_millis(200));
}
