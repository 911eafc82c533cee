//! A server of one test's own: start, stop, kill, start again. It ends with its owner, even if that one is killed.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Error, Result, anyhow, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use super::{
    keeper,
    launch::{Kind, PATIENCE, PAUSE},
    place,
};

/// Somebody else may take a port between our finding it free and the server's taking it.
const TRIES: usize = 3;
/// A folder without a process may be one that is being made.
const OLD: Duration = Duration::from_hours(24);

/// A server of its own. It is ended, and its data deleted, with this value.
#[derive(Debug)]
pub struct Own<K: Kind> {
    kind: K,
    folder: TempDir,
    address: K::Address,
    log: PathBuf,
    /// Length of the log when the server was last started.
    log_before: u64,
    supervisor: Option<Child>,
}

impl<K: Kind> Own<K> {
    /// Makes and starts a server.
    ///
    /// # Errors
    /// It cannot be prepared or does not start; the error holds the end of its log.
    pub fn start(kind: K) -> Result<Self>
    where
        K: Clone,
    {
        let place = place::own()?;
        place::clear_dead(&place, "", OLD);
        let mut tries = 1;
        loop {
            let kind = kind.clone();
            let folder = tempfile::Builder::new()
                .prefix(&format!("{}-", K::NAME))
                .tempdir_in(&place)
                .context("cannot make a folder")?;
            place::hand_over(folder.path(), kind.user())?;
            let address = kind.prepare(folder.path())?;
            let log = place::new_log(K::NAME)?;
            let mut server = Self { kind, folder, address, log, log_before: 0, supervisor: None };
            match server.start_again() {
                Ok(()) => return Ok(server),
                Err(error) if tries == TRIES || !taken(&server.log()) => return Err(error),
                Err(_) => tries += 1,
            }
        }
    }

    /// What a client has to know.
    pub fn address(&self) -> &K::Address {
        &self.address
    }

    /// The folder with its data and settings.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the server on its data after it was stopped or killed, and waits until it answers.
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
            match wait_until_it_answers::<K>(&mut supervisor, &self.address, deadline) {
                Ok(()) => {
                    self.supervisor = Some(supervisor);
                    return Ok(());
                }
                Err(error) => {
                    let ended = supervisor.try_wait().context("cannot look after the server")?.is_some();
                    let log = self.log();
                    if !ended {
                        // It hangs: end it, but keep its folder for another try.
                        self.supervisor = Some(supervisor);
                        self.end(Signal::SIGKILL)?;
                    } else if K::is_held(&log) && Instant::now() < deadline {
                        thread::sleep(PAUSE);
                        continue;
                    }
                    return Err(does_not_start::<K>(&log, &error));
                }
            }
        }
    }

    fn spawn(&mut self) -> Result<Child> {
        self.log_before = fs::metadata(&self.log).map_or(0, |found| found.len());
        // A pid of an earlier start would be taken for this one's.
        fs::remove_file(self.folder.path().join("pid")).ok();
        let launch = self.kind.launch(self.folder.path(), &self.address);
        keeper::tied(&launch, K::DISCARD, self.kind.user(), self.folder.path(), place::append_to(&self.log)?)
    }

    /// What the server has logged since it was last started.
    pub fn log(&self) -> String {
        let read = || {
            let mut file = fs::File::open(&self.log)?;
            file.seek(SeekFrom::Start(self.log_before))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_default()
    }

    /// Stops in order: everything is written.
    ///
    /// # Errors
    /// It does not run, or does not end in time.
    pub fn stop(&mut self) -> Result<()> {
        self.end(K::STOP)
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.end(Signal::SIGKILL)
    }

    /// The server's process id.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self) -> Result<u32> {
        place::read_pid(self.folder.path())
    }

    /// Sends `signal` to the server's process and waits for its end.
    ///
    /// # Errors
    /// It does not run, or does not end in time.
    pub fn end(&mut self, signal: Signal) -> Result<()> {
        let mut supervisor = self.supervisor.take().context("the server does not run")?;
        let signalled = self.pid().and_then(|pid| {
            let pid = i32::try_from(pid).context("not a process id")?;
            kill(Pid::from_raw(pid), signal).with_context(|| format!("cannot send {signal} to {} ({pid})", K::NAME))
        });
        if let Err(error) = signalled {
            self.supervisor = Some(supervisor);
            return Err(error);
        }
        // The pipe stays open until here, or the supervisor would take its owner for gone and delete the data.
        let deadline = Instant::now() + PATIENCE;
        while supervisor.try_wait().context("cannot wait for the server")?.is_none() {
            if Instant::now() > deadline {
                self.supervisor = Some(supervisor);
                bail!("{} does not end; its log ends with:\n{}", K::NAME, place::tail(&self.log()));
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl<K: Kind> Drop for Own<K> {
    fn drop(&mut self) {
        let Some(mut supervisor) = self.supervisor.take() else { return };
        drop(supervisor.stdin.take());
        supervisor.wait().ok();
    }
}

/// Errors if the process ends instead, or the time is over.
pub(super) fn wait_until_it_answers<K: Kind>(
    process: &mut Child,
    address: &K::Address,
    deadline: Instant,
) -> Result<()> {
    loop {
        let answer = K::check(address);
        if let Some(status) = process.try_wait().context("cannot look after the server")? {
            return Err(anyhow!("it ended ({status})"));
        }
        match answer {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error.context("it does not answer in time")),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Whether a log says that somebody else took the port.
pub(super) fn taken(log: &str) -> bool {
    let log = log.to_lowercase();
    ["address already in use", "could not bind", "bindexception"].iter().any(|text| log.contains(text))
}

pub(super) fn does_not_start<K: Kind>(log: &str, error: &Error) -> Error {
    anyhow!("{} does not start: {error:#}; its log ends with:\n{}", K::NAME, place::tail(log))
}
