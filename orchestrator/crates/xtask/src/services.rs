//! `cargo xtask services`: the program `updraft-testservers` of the testkit, built and run. A program of its own, so that the
//! other chores do not have to compile clients of databases first.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::Context;

/// Runs it with these arguments; its exit code.
pub fn run(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let status = Command::new(option_env!("CARGO").unwrap_or("cargo"))
        .args(["run", "--quiet", "--package", "updraft-testkit", "--bin", "updraft-testservers", "--"])
        .args(arguments)
        // The profile belongs to the workspace's project, from whichever of its folders one calls.
        .current_dir(crate::root())
        .status()
        .context("cargo run does not start")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
