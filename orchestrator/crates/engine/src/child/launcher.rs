//! What the launcher does between fork and the child's own program, in a process of its own and without unsafe code.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{getppid, setsid};

/// Begins the one line on standard error by which a launcher says that the program cannot be started.
pub const CANNOT_START: &str = "updraft-child: cannot start: ";

/// Exit code of a launcher that could not start the program.
const EXIT_CANNOT_START: i32 = 127;

/// The hidden command `__child --parent PID -- PROGRAM ARGUMENT…`: becomes that program in a session of its own that
/// dies with its parent. Returns, with an exit code, only if that cannot be done.
pub fn child_main(arguments: impl IntoIterator<Item = OsString>) -> i32 {
    let reason = match become_program(arguments) {
        Ok(never) => match never {},
        Err(reason) => reason,
    };
    // Nobody else is there to tell.
    let _ = writeln!(std::io::stderr(), "{CANNOT_START}{reason}");
    EXIT_CANNOT_START
}

fn become_program(arguments: impl IntoIterator<Item = OsString>) -> Result<std::convert::Infallible, String> {
    let mut arguments = arguments.into_iter();
    let parent: i32 = match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(flag), Some(pid), Some(end)) if flag == "--parent" && end == "--" => {
            pid.to_str().and_then(|pid| pid.parse().ok()).ok_or_else(|| "`--parent` needs a process id".to_owned())?
        }
        _ => return Err("expected `--parent PID -- PROGRAM ARGUMENT…`".to_owned()),
    };
    let program = arguments.next().ok_or_else(|| "no program given".to_owned())?;
    setsid().map_err(|error| format!("no session of its own: {error}"))?;
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| format!("no parent-death signal: {error}"))?;
    if getppid().as_raw() != parent {
        return Err("its parent is gone".to_owned());
    }
    restore_interrupt()?;
    // `exec` itself restores SIGPIPE and the signal mask, and every caught signal becomes the default again.
    let error = Command::new(&program).args(arguments).exec();
    Err(format!("{}: {error}", program.to_string_lossy()))
}

/// A worker in the background of a shell inherits an ignored SIGINT, and so would its children: dbt could not be asked
/// to stop. A caught signal becomes the default at `exec`, an ignored one stays ignored; so catch it first.
fn restore_interrupt() -> Result<(), String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    if ignored & (1 << (Signal::SIGINT as u32 - 1)) == 0 {
        return Ok(());
    }
    let describe = |error: std::io::Error| format!("SIGINT stays ignored: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(describe)?;
    let _guard = runtime.enter();
    let caught = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
    caught.map(drop).map_err(describe)
}
