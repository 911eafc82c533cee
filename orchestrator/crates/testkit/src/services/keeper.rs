//! Who looks after a server's process: a small shell, in a process group of its own, that outlives us.
//!
//! The server runs in a session and process group of its own below that shell, so that a signal reaches whatever it has
//! started itself, and an interrupt from a terminal or a test runner's time limit reaches neither. The shell ends the
//! server when its owner is gone, however that one went: it sees the end of a pipe ([`tied`]) or the release of a lock
//! ([`kept`]), both of which the kernel sees to. Shell and not a program of ours: the tests of any crate use this, and
//! only `sh`, `setsid` and `flock` are there for sure.

use std::{
    fs::File,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use nix::{sys::signal::Signal, unistd::User};

use super::missing::Missing;
use crate::process::Program;

/// Signals the group, gives it time, then kills what is left. $1 = signal, $2 = leader, $3 = tenths of a second.
const END: &str = r#"
end() {
  # Just forked: the group is not there yet.
  while kill -0 "$2" 2>/dev/null && ! kill -0 -"$2" 2>/dev/null; do sleep 0.05; done
  kill -"$1" -"$2" 2>/dev/null
  left=$3
  while kill -0 -"$2" 2>/dev/null && [ "$left" -gt 0 ]; do sleep 0.1; left=$((left - 1)); done
  kill -KILL -"$2" 2>/dev/null
}
"#;

/// $1 = folder to note the process id in and to delete when the owner is gone, $2 = signal, $3 = tenths of a second.
const TIED: &str = r#"
folder=$1 signal=$2 tenths=$3; shift 3
exec 3<&0
setsid "$@" </dev/null 3<&- & server=$!
echo "$server" >"$folder/pid"
( while read -r _ <&3; do :; done; : >"$folder/owner-gone"; end "$signal" "$server" "$tenths" ) & watch=$!
wait "$server"; status=$?
kill -KILL -"$server" 2>/dev/null
if [ -e "$folder/owner-gone" ]; then rm -rf "$folder"; else kill "$watch"; fi
exit "$status"
"#;

/// $1 = the run's folder, $2 = the server's folder, $3 = the lock of a server that this one needs or nothing, $4 = grace in seconds,
/// $5 = signal, $6 = tenths of a second.
const KEPT: &str = r#"
run=$1 home=$2 needs=$3 grace=$4 signal=$5 tenths=$6; shift 6
exec 9<"$home/users.lock"
if [ -n "$needs" ]; then exec 8<"$needs"; flock -s 8; fi
setsid "$@" </dev/null 8<&- 9<&- & server=$!
echo "$server" >"$run/pid"
while kill -0 "$server" 2>/dev/null; do
  flock -x 9
  flock -u 9
  left=$grace
  while [ "$left" -gt 0 ] && [ ! -e "$run/no-grace" ]; do sleep 1; left=$((left - 1)); done
  if flock -n -x 9; then break; fi
done
if [ "$(cat "$home/current" 2>/dev/null)" = "${run##*/}" ]; then rm -f "$home/current"; fi
end "$signal" "$server" "$tenths"
wait "$server"
rm -rf "$run"
"#;

/// $1 = the server's folder. Holds the server for nobody in particular until it is ended itself.
const HOLD: &str = r#"
exec 7>"$1/holder.lock" 9<"$1/users.lock"
flock -w 1 -x 7 && flock -s 9 && echo "$$" >"$1/holder" && echo held && exec >/dev/null 2>&1 && exec sleep infinity
"#;

/// How long a server gets to end, in tenths of a second: Connect once needed 10 s on a busy machine.
const TENTHS: &str = "200";

fn shell(script: &str, log: File) -> Result<Command> {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", &format!("{END}{script}"), "sh"])
        .stdout(log.try_clone().context("cannot share the log")?)
        .stderr(log)
        .process_group(0);
    Ok(command)
}

fn become_user(command: &mut Command, user: Option<&User>) {
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
}

/// Starts a server that lives as long as the child's standard input is open. `folder` is deleted when it is closed while
/// the server runs.
pub(super) fn tied(launch: &Program, discard: Signal, user: Option<&User>, folder: &Path, log: File) -> Result<Child> {
    let mut command = shell(TIED, log)?;
    command.arg(folder).args([word(discard), TENTHS]).current_dir(folder).stdin(Stdio::piped());
    launch.append_to(&mut command);
    become_user(&mut command, user);
    command.spawn().context("cannot start /bin/sh")
}

/// How long a shared server stays without a user, in seconds: another test binary may be about to start.
const GRACE_S: &str = "20";

/// Starts a server that lives as long as anybody holds `users.lock` in `home`. While it lives it holds `needs`, the same
/// file of a server without which it cannot end in order.
pub(super) fn kept(
    launch: &Program,
    discard: Signal,
    user: Option<&User>,
    run: &Path,
    home: &Path,
    needs: Option<&Path>,
    log: File,
) -> Result<Child> {
    there_is("flock")?;
    let mut command = shell(KEPT, log)?;
    command
        .arg(run)
        .arg(home)
        .arg(needs.unwrap_or(Path::new("")))
        .args([GRACE_S, word(discard), TENTHS])
        .current_dir(run)
        .stdin(Stdio::null());
    launch.append_to(&mut command);
    become_user(&mut command, user);
    command.spawn().context("cannot start /bin/sh")
}

/// Starts a process that uses the server in `home` until it is ended; its id stands in `holder`. Nothing happens if there
/// is one already.
pub(super) fn hold(home: &Path) -> Result<()> {
    there_is("flock")?;
    let mut holder = Command::new("/bin/sh")
        .args(["-c", HOLD, "sh"])
        .arg(home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot start /bin/sh")?;
    // It closes its output when it holds the lock, or ends.
    let mut said = String::new();
    if let Some(mut output) = holder.stdout.take() {
        std::io::Read::read_to_string(&mut output, &mut said).context("cannot read from the holder")?;
    }
    if said.is_empty() {
        holder.wait().context("cannot wait for the holder")?;
    }
    Ok(())
}

fn there_is(program: &str) -> Result<()> {
    if Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        bail!(Missing::new(format!("the program `{program}` is missing (Debian: `apt-get install util-linux`)")));
    }
    Ok(())
}

/// The signal's name as `kill` of a shell takes it.
fn word(signal: Signal) -> &'static str {
    signal.as_str().trim_start_matches("SIG")
}
