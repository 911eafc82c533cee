//! One server for every test process of this user: who starts it, and when it ends.
//!
//! In the server's folder lie `start.lock` (held by whoever is looking for the server or starting it), `users.lock` (held
//! shared by every process that uses the server, exclusively by its keeper while it ends it), and `current`, the name of
//! the run's folder with the server's data and address. The kernel lets go of a lock when its process is gone, however it
//! went, so nobody has to sign off. The keeper waits for the exclusive lock, that is, for the last user to leave; then a
//! grace time, since another test binary may be about to start; then it ends the server, still holding the lock, so that
//! nobody joins meanwhile. A server that others need (`needs`) is held by their keepers, so they end in the right order.
//!
//! `services up` is one more user: a process that holds `users.lock` until `services down` ends it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Child,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    keeper,
    launch::{Kind, PATIENCE, PAUSE},
    own::{does_not_start, taken, wait_until_it_answers},
    place::{self, lives, read_pid},
};

/// Somebody else may take a port between our finding it free and the server's taking it.
const TRIES: usize = 3;

/// This process's use of a server.
#[derive(Debug)]
struct Membership {
    address: Value,
    /// Held as long as the process lives.
    _users: File,
}

static MEMBERSHIPS: Mutex<BTreeMap<&'static str, Membership>> = Mutex::new(BTreeMap::new());

/// The shared server's address; it is started if it does not run. `make` finds or fetches its programs; `needs` names a
/// shared server without which it cannot end in order.
pub(crate) fn join<K: Kind>(needs: Option<&str>, make: impl FnOnce() -> Result<K>) -> Result<K::Address> {
    if let Some(address) = joined(K::NAME) {
        return serde_json::from_value(address).context("the address is of another type");
    }
    let home = place::below(K::NAME)?;
    let start = place::lock_file(&home.join("start.lock"))?;
    start.lock().context("cannot lock start.lock")?;
    let users = place::lock_file(&home.join("users.lock"))?;
    users.lock_shared().context("cannot lock users.lock")?;
    let address = match running::<K>(&home) {
        Some(address) => address,
        None => start_server(&make()?, &home, needs)?,
    };
    let membership = Membership { address: serde_json::to_value(&address)?, _users: users };
    MEMBERSHIPS.lock().unwrap_or_else(PoisonError::into_inner).insert(K::NAME, membership);
    Ok(address)
}

fn joined(name: &str) -> Option<Value> {
    let memberships = MEMBERSHIPS.lock().unwrap_or_else(PoisonError::into_inner);
    memberships.get(name).map(|membership| membership.address.clone())
}

/// The server that another process has started, if it still answers.
fn running<K: Kind>(home: &Path) -> Option<K::Address> {
    let address = place::read_address(&current(home)?)?;
    K::check(&address).ok().map(|()| address)
}

/// The folder of the run that is in use.
fn current(home: &Path) -> Option<PathBuf> {
    let name = fs::read_to_string(home.join("current")).ok()?;
    Some(home.join(name)).filter(|run| run.is_dir())
}

fn start_server<K: Kind>(kind: &K, home: &Path, needs: Option<&str>) -> Result<K::Address> {
    let needs = needs.map(place::below).transpose()?.map(|home| home.join("users.lock"));
    place::hand_over(home, kind.user())?;
    // We hold `start.lock`: nobody else is making one.
    place::clear_dead(home, "run-", Duration::ZERO);
    let mut tries = 1;
    loop {
        let name = format!("run-{}", &Uuid::new_v4().simple().to_string()[..8]);
        let run = home.join(&name);
        fs::create_dir(&run).with_context(|| format!("cannot make {}", run.display()))?;
        place::hand_over(&run, kind.user())?;
        let address = kind.prepare(&run)?;
        place::write_address(&run, &address)?;
        let log = place::new_log(K::NAME)?;
        fs::write(run.join("log"), log.as_os_str().as_encoded_bytes()).context("cannot note the log's name")?;
        fs::write(home.join("current"), &name).context("cannot note the run's name")?;
        let launch = kind.launch(&run, &address);
        let file = place::append_to(&log)?;
        let mut keeper = keeper::kept(&launch, K::DISCARD, kind.user(), &run, home, needs.as_deref(), file)?;
        match wait_until_it_answers::<K>(&mut keeper, &address, Instant::now() + PATIENCE) {
            Ok(()) => return Ok(address),
            Err(error) => {
                give_up(&run, &mut keeper);
                let log = fs::read_to_string(&log).unwrap_or_default();
                if tries == TRIES || !taken(&log) {
                    return Err(does_not_start::<K>(&log, &error));
                }
                tries += 1;
            }
        }
    }
}

/// Ends a server that does not come up: its keeper, which waits for our lock, would not.
fn give_up(run: &Path, keeper: &mut Child) {
    let Ok(pid) = read_pid(run) else { return };
    signal(pid, Signal::SIGKILL);
    fs::write(run.join("no-grace"), "").ok();
    // The keeper ends when we let go of `users.lock`; here only one that is through already is waited for.
    keeper.try_wait().ok();
}

fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        kill(Pid::from_raw(pid), signal).ok();
    }
}

/// How a shared server is.
#[derive(Debug, Clone)]
pub struct Status {
    /// Process id of the server; `None` if it does not run.
    pub pid: Option<u32>,
    /// What a client has to know; secrets included.
    pub address: Value,
    /// Whether `services up` holds it.
    pub held: bool,
    /// The newest log.
    pub log: Option<PathBuf>,
}

/// How the server `name` is.
///
/// # Errors
/// The servers' folder cannot be read.
pub fn status(name: &str) -> Result<Status> {
    let home = place::below(name)?;
    let run = current(&home);
    let pid = run.as_deref().and_then(|run| read_pid(run).ok()).filter(|pid| lives(*pid));
    let address = run.as_deref().and_then(place::read_address).unwrap_or(Value::Null);
    Ok(Status { pid, address, held: holder(&home)?.is_some(), log: place::logs_of(name)?.pop() })
}

/// Holds a server that this process has joined beyond this process's end.
///
/// # Errors
/// The holder cannot be started.
pub fn hold(name: &str) -> Result<()> {
    let home = place::below(name)?;
    if holder(&home)?.is_some() { Ok(()) } else { keeper::hold(&home) }
}

/// The process that holds the server for `services up`. The lock says that the noted process is it and lives.
fn holder(home: &Path) -> Result<Option<u32>> {
    let lock = place::lock_file(&home.join("holder.lock"))?;
    if lock.try_lock().is_ok() {
        return Ok(None);
    }
    let text = fs::read_to_string(home.join("holder")).unwrap_or_default();
    Ok(text.trim().parse().ok())
}

/// Ends what `services up` started; `true` if the server has ended, `false` if somebody else uses it still.
///
/// # Errors
/// The server's folder cannot be read.
pub fn release(name: &str, patience: Duration) -> Result<bool> {
    let home = place::below(name)?;
    if let Some(holder) = holder(&home)? {
        signal(holder, Signal::SIGTERM);
    }
    Ok(end_without_grace(&home, patience))
}

/// Ends this process's use of a server, and the server without a grace time if nobody else uses it. `false` if somebody
/// other than `services up` does.
///
/// # Errors
/// The server's folder cannot be read.
pub fn leave(name: &str, patience: Duration) -> Result<bool> {
    MEMBERSHIPS.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    let home = place::below(name)?;
    Ok(holder(&home)?.is_some() || end_without_grace(&home, patience))
}

fn end_without_grace(home: &Path, patience: Duration) -> bool {
    let Some(run) = current(home) else { return true };
    fs::write(run.join("no-grace"), "").ok();
    let deadline = Instant::now() + patience;
    while run.exists() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(PAUSE);
    }
    true
}
