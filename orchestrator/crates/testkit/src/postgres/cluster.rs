//! A cluster of one test's own: start, stop, crash, start again. It ends with its owner, even if that one is killed.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use super::{LocalUrl, execute, install::Install};

/// A busy machine takes several times the usual two seconds, and recovery after a crash may take ten.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(20);

/// Runs the server, and ends it and its folder when standard input closes, that is, when the owner is gone.
/// $1 = postgres, $2 = the cluster's folder.
const SUPERVISE: &str = r#"
exec 3<&0
"$1" -D "$2/data" </dev/null 3<&- & server=$!
( while read -r _ <&3; do :; done; : > "$2/owner-gone"; kill -QUIT "$server" ) & watch=$!
wait "$server"; status=$?
if [ -e "$2/owner-gone" ]; then rm -rf "$2"; else kill "$watch"; fi
exit "$status"
"#;

/// A PostgreSQL server of its own. It is ended, and its data deleted, with this value.
#[derive(Debug)]
pub struct Cluster {
    install: Install,
    folder: TempDir,
    port: u16,
    supervisor: Option<Child>,
}

impl Cluster {
    /// Makes and starts a cluster.
    pub(super) fn start() -> Result<Self> {
        let install = Install::find()?;
        let folder = tempfile::Builder::new().prefix("updraft-pg-").tempdir().context("cannot make a folder")?;
        install.hand_over(folder.path())?;
        let port = free_port()?;
        install.initdb(folder.path(), port)?;
        let mut cluster = Self { install, folder, port, supervisor: None };
        cluster.start_again()?;
        Ok(cluster)
    }

    /// Where to connect to, over TCP.
    pub fn url(&self) -> String {
        LocalUrl { port: self.port }.to_string()
    }

    /// The TCP port on loopback. It stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the unix socket.
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the server on its data after it was stopped, crashed or killed, and waits until it answers.
    ///
    /// # Errors
    /// It runs already, or it does not start; the error holds the end of its log.
    pub fn start_again(&mut self) -> Result<()> {
        if self.supervisor.is_some() {
            bail!("the server runs already");
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut supervisor = self.spawn()?;
            if wait_until_it_answers(&mut supervisor, &self.url(), deadline)? {
                self.supervisor = Some(supervisor);
                return Ok(());
            }
            // After kill -9 the postmaster's children live on for a moment and hold its lock file and memory.
            let log = self.log();
            let held =
                ["postmaster.pid", "shared memory block", "could not bind"].iter().any(|text| log.contains(text));
            if !held || Instant::now() > deadline {
                bail!("PostgreSQL does not start; its log ends with:\n{}", tail(&log));
            }
            thread::sleep(PAUSE);
        }
    }

    fn spawn(&self) -> Result<Child> {
        let folder = self.folder.path();
        let log = fs::File::create(self.log_file()).context("cannot make the server's log")?;
        self.install
            .command("/bin/sh", folder)
            .args(["-c", SUPERVISE, "sh"])
            .arg(self.install.postgres())
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().context("cannot share the server's log")?)
            .stderr(log)
            .spawn()
            .context("cannot start PostgreSQL")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What the server has logged since it was last started.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Stops as an administrator does: clients are disconnected, everything is written.
    ///
    /// # Errors
    /// It does not run, or does not end in time.
    pub fn stop(&mut self) -> Result<()> {
        self.end(Signal::SIGINT)
    }

    /// Stops at once without writing anything (`immediate`); the next start recovers.
    ///
    /// # Errors
    /// It does not run, or does not end in time.
    pub fn crash(&mut self) -> Result<()> {
        self.end(Signal::SIGQUIT)
    }

    /// `kill -9` of the postmaster; the next start waits for what it leaves behind, then recovers.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.end(Signal::SIGKILL)
    }

    /// The postmaster's process id.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self) -> Result<u32> {
        let file = self.folder.path().join("data/postmaster.pid");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let line = text.lines().next().unwrap_or_default();
        line.trim().parse().with_context(|| format!("`{line}` in {} is not a process id", file.display()))
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        let mut supervisor = self.supervisor.take().context("the server does not run")?;
        let pid = self.pid()?;
        let signalled = i32::try_from(pid).context("not a process id").and_then(|pid| {
            kill(Pid::from_raw(pid), signal).with_context(|| format!("cannot send {signal} to PostgreSQL ({pid})"))
        });
        if let Err(error) = signalled {
            self.supervisor = Some(supervisor);
            return Err(error);
        }
        // The pipe stays open until here, or the supervisor would take its owner for gone and delete the data.
        let deadline = Instant::now() + PATIENCE;
        while supervisor.try_wait().context("cannot wait for PostgreSQL")?.is_none() {
            if Instant::now() > deadline {
                self.supervisor = Some(supervisor);
                bail!("PostgreSQL ({pid}) does not end; its log ends with:\n{}", tail(&self.log()));
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(mut supervisor) = self.supervisor.take() else { return };
        drop(supervisor.stdin.take());
        supervisor.wait().ok();
    }
}

/// A port that nobody listens on right now.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?;
    Ok(listener.local_addr().context("the listener has no address")?.port())
}

/// False if the process ended instead.
pub(super) fn wait_until_it_answers(process: &mut Child, url: &str, deadline: Instant) -> Result<bool> {
    loop {
        let answer = execute(url, "select 1");
        if process.try_wait().context("cannot look after PostgreSQL")?.is_some() {
            return Ok(false);
        }
        match answer {
            Ok(()) => return Ok(true),
            Err(error) if Instant::now() > deadline => return Err(error.context("PostgreSQL does not answer in time")),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// The last lines of a log.
pub(super) fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
