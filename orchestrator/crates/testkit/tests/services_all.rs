//! What is true of every server.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests say what they expect")]

use std::{collections::BTreeSet, fs, path::Path};

use updraft_testkit::{
    services::{
        catalog::{Running, Server},
        shared,
    },
    skip::{current_test, report},
};

/// Kernel's words for `127.0.0.1`, `::1` and `::ffff:127.0.0.1`.
const LOOPBACK: [&str; 3] = ["0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"];
const LISTENS: &str = "0A";

/// The processes of a process's group.
fn group(leader: u32) -> Vec<u32> {
    let group_of = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        fields.split(' ').nth(2)?.parse::<u32>().ok()
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| group_of(*pid) == Some(leader))
        .collect()
}

/// The inodes of a process's sockets.
fn sockets(pid: u32) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")) else { return BTreeSet::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            fs::read_link(entry.path()).ok()?.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned)
        })
        .collect()
}

/// Addresses, as the kernel writes them, on which these sockets listen.
fn listening(sockets: &BTreeSet<String>) -> Vec<String> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|table| {
            fs::read_to_string(table).unwrap_or_default().lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
        })
        .filter_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            (fields.get(3) == Some(&LISTENS) && sockets.contains(*fields.get(9)?)).then(|| fields[1].to_owned())
        })
        .collect()
}

#[test]
fn every_server_listens_on_loopback_only() {
    let mut running = Running::default();
    for server in Server::ALL {
        if let Err(missing) = running.start(server).unwrap() {
            report(&current_test(), &missing.to_string());
            continue;
        }
        for name in server.processes() {
            let leader = shared::status(name).unwrap().pid.unwrap();
            let sockets = group(leader).into_iter().flat_map(sockets).collect();
            let places = listening(&sockets);
            assert!(!places.is_empty(), "{name} listens nowhere");
            for place in places {
                let (address, _) = place.split_once(':').unwrap();
                assert!(LOOPBACK.contains(&address), "{name} listens on {place}: others can reach it");
            }
        }
    }
}

/// Passwords and keys are in files and environments, which others cannot read, and not in arguments, which they can.
#[test]
fn no_server_has_a_secret_among_its_arguments() {
    let mut running = Running::default();
    for server in [Server::S3, Server::Minio, Server::Clickhouse] {
        if let Err(missing) = running.start(server).unwrap() {
            report(&current_test(), &missing.to_string());
            continue;
        }
        let status = shared::status(server.name()).unwrap();
        let secret = ["secret_access_key", "password"].iter().find_map(|field| status.address[field].as_str()).unwrap();
        let arguments = fs::read_to_string(format!("/proc/{}/cmdline", status.pid.unwrap())).unwrap();
        assert!(!arguments.contains(secret), "{}", server.name());
    }
}
