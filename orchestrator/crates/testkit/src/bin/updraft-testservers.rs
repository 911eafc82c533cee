//! `updraft-testservers`: the tests' PostgreSQL for a whole run of commands, or for somebody at a keyboard.
//!
//! Holds what `updraft_testkit::postgres` starts until it is told to end; `make test` keeps one server this way for
//! all test binaries, a developer gets a server to look into.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use serde_json::json;
use updraft_testkit::postgres;

/// Starts a server for tests and holds it until standard input is closed.
///
/// The first line of the output is JSON: url, for `UPDRAFT_TEST_POSTGRES_URL` or --store.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    server: Server,
}

#[derive(Debug, Subcommand)]
enum Server {
    /// PostgreSQL. Exit code 3 if there is none on this machine.
    Postgres {
        /// A server for this process alone, with pid and folder, instead of the one that all tests share.
        #[arg(long)]
        own: bool,
    },
}

const MISSING: u8 = 3;

fn main() -> ExitCode {
    let Arguments { server: Server::Postgres { own } } = Arguments::parse();
    let held = if own { hold_own() } else { hold_shared() };
    match held {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(MISSING),
        Err(error) => {
            writeln!(io::stderr(), "updraft-testservers: {error:#}").ok();
            ExitCode::from(2)
        }
    }
}

fn hold_shared() -> Result<bool> {
    let Some(url) = postgres::server()? else { return Ok(false) };
    hold(&json!({ "url": url }))
}

fn hold_own() -> Result<bool> {
    let Some(cluster) = postgres::own_server()? else { return Ok(false) };
    hold(&json!({ "url": cluster.url(), "pid": cluster.pid()?, "folder": cluster.socket_folder() }))
}

fn hold(said: &serde_json::Value) -> Result<bool> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{said}").and_then(|()| stdout.flush()).context("cannot write to standard output")?;
    io::copy(&mut io::stdin().lock(), &mut io::sink()).context("cannot read standard input")?;
    Ok(true)
}
