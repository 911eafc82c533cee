//! `updraft completions`: a script for a shell.

use clap::{Args as ClapArgs, CommandFactory};

use super::{Cli, output};
use crate::exit_code::{ExitCode, Failure};

/// Arguments of `updraft completions`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Carries it out.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "updraft", &mut script);
    let script =
        String::from_utf8(script).map_err(|error| Failure::input(format!("the script is not text: {error}")))?;
    output::text(&script);
    Ok(ExitCode::Success)
}
