//! For tests: starts children as the product's binary does it, `__child --parent PID -- PROGRAM ARGUMENT…`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(2);
    ExitCode::from(u8::try_from(updraft_engine::child::child_main(arguments)).unwrap_or(1))
}
