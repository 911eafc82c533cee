//! Updraft's command line and composition root. A team with tasks of its own builds its binary in two lines:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     let registry = updraft_task::Registry::new(); // or updraft_tasks::registry(), then registry.add::<MyTask>()
//!     updraft::main(registry)
//! }
//! ```
#![warn(missing_docs)]

mod cli;
mod compose;
mod daemon;
mod exit_code;
mod lifecycle;
mod project;
mod reference;
mod remote;
mod telemetry;
mod ui_assets;

pub use exit_code::ExitCode;

/// Runs the command line with these task types and ends with a documented exit code.
pub fn main(registry: updraft_task::Registry) -> std::process::ExitCode {
    cli::main(registry)
}
