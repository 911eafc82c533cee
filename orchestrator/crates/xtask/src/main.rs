//! Development chores that are more than a line of shell: `cargo xtask layers`, `cargo xtask gen [--check]`,
//! `cargo xtask services …`.

mod generate;
mod layers;
mod services;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Proves that crates depend on each other in one direction only
    Layers,
    /// Makes every generated file
    Gen {
        /// Changes nothing; fails if a file is not what would be made
        #[arg(long)]
        check: bool,
    },
    /// Servers for development and tests: up, down, status, logs (docs/services.md)
    #[command(disable_help_flag = true)]
    Services {
        /// What `updraft-testservers` takes; --help tells
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

fn main() -> std::process::ExitCode {
    let done = match Cli::parse().command {
        Command::Layers => layers::check(),
        Command::Gen { check } => generate::run(&root(), check),
        Command::Services { arguments } => match services::run(&arguments) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
    };
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            layers::say(&format!("error: {error}"));
            std::process::ExitCode::FAILURE
        }
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(3).map_or(own.clone(), std::path::Path::to_path_buf)
}
