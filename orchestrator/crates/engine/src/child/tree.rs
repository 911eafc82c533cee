//! Finds and kills everything that a child has started: by its session, and by the attempt's token in the environment
//! for what has left the session.

use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// Rounds of looking and killing: a process that forks while it is killed needs more than one.
const ROUNDS: u32 = 200;

fn pid_of(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap_or(i32::MAX))
}

/// A signal to the group that the child leads, or to the child alone if it has none yet. One that is gone needs none.
pub(super) fn signal_group(session: u32, signal: Signal) {
    if killpg(pid_of(session), signal).is_err() {
        let _ = kill(pid_of(session), signal);
    }
}

/// Kills until nothing of the tree is left. The child itself is waited for by who started it.
pub(crate) fn sweep(session: Option<u32>, token: &str) {
    for _ in 0..ROUNDS {
        let mut alive = false;
        for process in processes() {
            if !process.belongs(session, token) {
                continue;
            }
            if process.state == 'Z' {
                if Some(process.pid) != session {
                    // Ours if it was re-parented to us, else its parent's.
                    let _ = waitpid(pid_of(process.pid), Some(WaitPidFlag::WNOHANG));
                }
                continue;
            }
            alive = true;
            let _ = kill(pid_of(process.pid), Signal::SIGKILL);
        }
        if !alive {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    tracing::warn!("processes of {token} do not die");
}

struct Process {
    pid: u32,
    state: char,
    session: u32,
}

impl Process {
    fn belongs(&self, session: Option<u32>, token: &str) -> bool {
        if self.pid == std::process::id() {
            return false;
        }
        if Some(self.session) == session {
            return true;
        }
        // Other users' processes cannot be read, and cannot be ours.
        std::fs::read(format!("/proc/{}/environ", self.pid))
            .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == token.as_bytes()))
    }
}

fn processes() -> impl Iterator<Item = Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in brackets may hold anything; what follows the last bracket is fixed: state, ppid, pgrp, session.
        let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
        let state = fields.next()?.chars().next()?;
        let session = fields.nth(2)?.parse().ok()?;
        Some(Process { pid, state, session })
    })
}
