//! `updraft-testservers`: the tests' servers for a whole run of commands, or for somebody at a keyboard. What it starts
//! comes from `updraft_testkit::services`; `cargo xtask services` is this program.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use serde_json::json;
use updraft_testkit::{
    postgres,
    services::{
        Kind, Own,
        catalog::{Running, Server},
        clickhouse, kafka, prometheus, s3, shared,
    },
};

/// Servers for development and tests, without containers.
///
/// Names: postgres, s3, minio, kafka, clickhouse, prometheus, connect, spark. They are fetched once into
/// ${XDG_CACHE_HOME:-$HOME/.cache}/updraft/servers, listen on loopback, and their logs are kept.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts servers (all by default) and leaves them running; writes the profile `services` for updraft.
    /// Exit code 3 if one of them cannot be had here
    Up {
        #[arg(value_name = "NAME", value_parser = server)]
        names: Vec<Server>,
        /// The project whose .updraft/services.yaml is written
        #[arg(long, default_value = ".")]
        project: PathBuf,
    },
    /// Ends servers (all by default) that no test uses, and deletes their data and the profile
    Down {
        #[arg(value_name = "NAME", value_parser = server)]
        names: Vec<Server>,
        #[arg(long, default_value = ".")]
        project: PathBuf,
    },
    /// Starts servers (all by default), says `ready`, and holds them until standard input is closed; then ends those that
    /// nobody else uses: for a whole test run. A server that does not start is left to the tests that need it
    Hold {
        #[arg(value_name = "NAME", value_parser = server)]
        names: Vec<Server>,
    },
    /// Tells which servers run, where, and with how much memory
    Status {
        #[arg(value_name = "NAME", value_parser = server)]
        names: Vec<Server>,
    },
    /// Prints the newest logs
    Logs {
        #[arg(value_name = "NAME", value_parser = server)]
        names: Vec<Server>,
        /// Lines of each
        #[arg(short = 'n', long, default_value_t = 40)]
        lines: usize,
    },
    /// Starts PostgreSQL and holds it until standard input is closed. The first line of the output is JSON: url, for
    /// `UPDRAFT_TEST_POSTGRES_URL` or --store. Exit code 3 if there is none on this machine
    Postgres {
        /// A server for this process alone, with pid and folder, instead of the one that all tests share
        #[arg(long)]
        own: bool,
    },
    /// Starts a server for this process alone and holds it until standard input is closed. The first line of the output is
    /// JSON: pid, folder, address
    Own {
        #[arg(value_name = "NAME", value_parser = server)]
        name: Server,
    },
}

const MISSING: u8 = 3;
/// Of the project.
const PROFILE: &str = ".updraft/services.yaml";
/// For `down`: a JVM on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

fn server(name: &str) -> Result<Server, String> {
    let names = Server::ALL.map(Server::name).join(", ");
    Server::named(name).ok_or_else(|| format!("there is no server `{name}`; there are {names}"))
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Up { names, project } => up(&or_all(names), &project),
        Command::Down { names, project } => down(&or_all(names), &project),
        Command::Hold { names } => hold_all(&or_all(names)),
        Command::Status { names } => status(&or_all(names)),
        Command::Logs { names, lines } => logs(&or_all(names), lines),
        Command::Postgres { own: false } => hold_shared_postgres(),
        Command::Postgres { own: true } => hold_own_postgres(),
        Command::Own { name } => hold_own(name),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(MISSING),
        Err(error) => {
            writeln!(io::stderr(), "updraft-testservers: {error:#}").ok();
            ExitCode::from(2)
        }
    }
}

fn or_all(names: Vec<Server>) -> Vec<Server> {
    if names.is_empty() { Server::ALL.to_vec() } else { names }
}

fn say(line: &str) -> Result<()> {
    writeln!(io::stdout(), "{line}").context("cannot write to standard output")
}

fn up(servers: &[Server], project: &Path) -> Result<bool> {
    let mut running = Running::default();
    // Those that run already belong into the profile, too.
    let more = Server::ALL.into_iter().filter(|server| !servers.contains(server) && is_held(*server));
    let servers: Vec<Server> = servers.iter().copied().chain(more).collect();
    let started = start(&mut running, &servers)?;
    started.here.iter().try_for_each(|server| server.hold())?;
    let profile = project.join(PROFILE);
    running.write_profile(&profile)?;
    say(&format!("wrote {}: use it with `updraft run --profile services …`", profile.display()))?;
    if !started.broken.is_empty() {
        bail!("{}", started.broken.join("\n"));
    }
    Ok(started.here.len() == servers.len())
}

/// What has become of servers that were to be started.
#[derive(Debug, Default)]
struct Started {
    here: Vec<Server>,
    /// Why others do not work. What is neither cannot be had.
    broken: Vec<String>,
}

/// Starts servers, one row for each on standard output.
fn start(running: &mut Running, servers: &[Server]) -> Result<Started> {
    let mut started = Started::default();
    for server in servers {
        let began = Instant::now();
        match running.start(*server) {
            Ok(Ok(place)) => {
                started.here.push(*server);
                say(&format!("{:<11} {place}  ({:.1} s)", server.name(), began.elapsed().as_secs_f64()))?;
            }
            Ok(Err(missing)) => say(&format!("{:<11} skipped: {missing}", server.name()))?,
            Err(error) => {
                say(&format!("{:<11} failed", server.name()))?;
                started.broken.push(format!("{error:#}"));
            }
        }
    }
    Ok(started)
}

fn hold_all(servers: &[Server]) -> Result<bool> {
    let started = start(&mut Running::default(), servers)?;
    for reason in &started.broken {
        writeln!(io::stderr(), "updraft-testservers: {reason}").ok();
    }
    say("ready")?;
    io::copy(&mut io::stdin().lock(), &mut io::sink()).context("cannot read standard input")?;
    // First from all, since one may hold another.
    let names: Vec<&str> = started.here.iter().rev().flat_map(|server| server.processes()).copied().collect();
    names.iter().try_for_each(|name| shared::leave(name, Duration::ZERO).map(drop))?;
    names.iter().try_for_each(|name| shared::leave(name, PATIENCE).map(drop))?;
    Ok(true)
}

fn is_held(server: Server) -> bool {
    server.processes().iter().any(|name| shared::status(name).is_ok_and(|status| status.held && status.pid.is_some()))
}

fn down(servers: &[Server], project: &Path) -> Result<bool> {
    let mut used = Vec::new();
    // Connect before Kafka: the other way round its end takes long.
    for name in servers.iter().rev().flat_map(|server| server.processes()) {
        if shared::release(name, PATIENCE)? { say(&format!("{name:<12} ended"))? } else { used.push(*name) }
    }
    if servers.len() == Server::ALL.len() {
        fs::remove_file(project.join(PROFILE)).ok();
    }
    if !used.is_empty() {
        bail!("still used by a test or by another server, and ends after it: {}", used.join(", "));
    }
    Ok(true)
}

fn status(servers: &[Server]) -> Result<bool> {
    for name in servers.iter().flat_map(|server| server.processes()) {
        let status = shared::status(name)?;
        let Some(pid) = status.pid else {
            say(&format!("{name:<12} -"))?;
            continue;
        };
        let by = if status.held { "up" } else { "tests" };
        let memory = memory_mb(pid).map_or_else(String::new, |mb| format!("{mb} MB"));
        let port = &status.address["port"];
        let log = status.log.map_or_else(String::new, |log| log.display().to_string());
        say(&format!("{name:<12} 127.0.0.1:{port:<6} pid {pid:<8} {memory:>7}  held by {by:<6} {log}"))?;
    }
    Ok(true)
}

fn memory_mb(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
}

fn logs(servers: &[Server], lines: usize) -> Result<bool> {
    for name in servers.iter().flat_map(|server| server.processes()) {
        let Some(log) = shared::status(name)?.log else { continue };
        let text = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
        let all: Vec<_> = text.lines().collect();
        say(&format!("==> {}", log.display()))?;
        for line in &all[all.len().saturating_sub(lines)..] {
            say(line)?;
        }
    }
    Ok(true)
}

fn hold_shared_postgres() -> Result<bool> {
    let Some(url) = postgres::server()? else { return Ok(false) };
    hold(&json!({ "url": url }))
}

fn hold_own_postgres() -> Result<bool> {
    let Some(cluster) = postgres::own_server()? else { return Ok(false) };
    hold(&json!({ "url": cluster.url(), "pid": cluster.pid()?, "folder": cluster.socket_folder() }))
}

fn hold_own(server: Server) -> Result<bool> {
    match server {
        Server::Postgres => hold_it(postgres::own_server()?),
        Server::S3 => hold_it(s3::own_server()?),
        Server::Minio => hold_it(s3::own_minio()?),
        Server::Kafka => hold_it(kafka::own_server()?),
        Server::Clickhouse => hold_it(clickhouse::own_server()?),
        Server::Prometheus => hold_it(prometheus::own_server()?),
        Server::Connect | Server::Spark => bail!("{} is more than one server: use `up`", server.name()),
    }
}

fn hold_it<K: Kind>(server: Option<Own<K>>) -> Result<bool> {
    let Some(server) = server else { return Ok(false) };
    hold(&json!({ "pid": server.pid()?, "folder": server.folder(), "address": server.address() }))
}

fn hold(said: &serde_json::Value) -> Result<bool> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{said}").and_then(|()| stdout.flush()).context("cannot write to standard output")?;
    io::copy(&mut io::stdin().lock(), &mut io::sink()).context("cannot read standard input")?;
    Ok(true)
}
