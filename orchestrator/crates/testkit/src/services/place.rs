//! Where servers lie while they run: `${TMPDIR:-/tmp}/updraft-services-<uid>/`, with a folder for each shared server,
//! `own/` for servers of single tests, and `logs/`, which outlives them.
//!
//! Not the cache folder: a home folder is closed to the user that PostgreSQL runs as, and a unix socket's path is short.

use std::{
    env,
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::unistd::{User, geteuid};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// Logs of this many runs of each server are kept.
const LOGS: usize = 10;
const ADDRESS: &str = "address.json";

/// The folder of this user's servers. Its name is known to everybody, so it has to be ours, and no link to somewhere else.
pub(super) fn base() -> Result<PathBuf> {
    let folder = env::temp_dir().join(format!("updraft-services-{}", geteuid()));
    made(&folder)?;
    let found = fs::symlink_metadata(&folder).with_context(|| format!("cannot look at {}", folder.display()))?;
    if !found.is_dir() || found.uid() != geteuid().as_raw() {
        bail!("{} is no folder of this user's: remove it, or set TMPDIR to another folder", folder.display());
    }
    open_to_pass(&folder)?;
    Ok(folder)
}

/// The folder that servers of single tests lie in. Whoever runs one deletes its folder, so others may write here as in
/// the temporary folder itself: each what is theirs.
pub(super) fn own() -> Result<PathBuf> {
    let folder = below("own")?;
    fs::set_permissions(&folder, Permissions::from_mode(0o1733))
        .with_context(|| format!("cannot set the mode of {}", folder.display()))?;
    Ok(folder)
}

/// A folder below [`base`].
pub(super) fn below(name: &str) -> Result<PathBuf> {
    let folder = base()?.join(name);
    made(&folder)?;
    Ok(folder)
}

fn made(folder: &Path) -> Result<()> {
    match fs::create_dir(folder) {
        Ok(()) => open_to_pass(folder),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot make {}", folder.display())),
    }
}

/// Others may pass through, and not look around.
fn open_to_pass(folder: &Path) -> Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o711))
        .with_context(|| format!("cannot set the mode of {}", folder.display()))
}

/// The process id that a supervisor or keeper has noted in its server's folder.
pub(super) fn read_pid(folder: &Path) -> Result<u32> {
    let file = folder.join("pid");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    text.trim().parse().with_context(|| format!("`{}` in {} is not a process id", text.trim(), file.display()))
}

/// Whether there is such a process that has not ended.
pub(super) fn lives(pid: u32) -> bool {
    // One that has ended and was not waited for is listed still.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Deletes servers' folders, at least so old, in which no process lives: the machine was switched off. What cannot be
/// deleted stays.
pub(super) fn clear_dead(folder: &Path, name_begins: &str, age: Duration) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(name_begins));
        let modified = entry.metadata().and_then(|found| found.modified());
        let old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|elapsed| elapsed >= age));
        if ours && old && !read_pid(&path).is_ok_and(lives) {
            fs::remove_dir_all(&path).ok();
        }
    }
}

/// Makes a folder the user's that a server runs as.
pub(crate) fn hand_over(folder: &Path, user: Option<&User>) -> Result<()> {
    open_to_pass(folder)?;
    let Some(user) = user else { return Ok(()) };
    chown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
        .with_context(|| format!("cannot hand {} over to {}", folder.display(), user.name))
}

/// A file that serves as a lock. The keeper may run as another user, whatever this process's mask is.
pub(super) fn lock_file(path: &Path) -> Result<File> {
    let open = || {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        if file.metadata()?.permissions().mode() & 0o777 != 0o644 {
            file.set_permissions(Permissions::from_mode(0o644))?;
        }
        Ok::<_, io::Error>(file)
    };
    open().with_context(|| format!("cannot open {}", path.display()))
}

/// Writes a file that only we may read.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let write = || {
        let part = path.with_extension("part");
        fs::remove_file(&part)
            .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
        let mut file = File::options().create_new(true).write(true).mode(0o600).open(&part)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&part, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

pub(super) fn write_address(folder: &Path, address: &impl Serialize) -> Result<()> {
    write_secret(&folder.join(ADDRESS), &serde_json::to_string(address).context("the address is no JSON")?)
}

/// The address of the server in `folder`; `None` if none is noted, or one of another version.
pub(super) fn read_address<A: DeserializeOwned>(folder: &Path) -> Option<A> {
    serde_json::from_str(&fs::read_to_string(folder.join(ADDRESS)).ok()?).ok()
}

/// A new log for a run of the server `name`; the oldest are deleted.
pub(super) fn new_log(name: &str) -> Result<PathBuf> {
    let folder = below("logs")?;
    let mut earlier = logs_of(name)?;
    earlier.truncate(earlier.len().saturating_sub(LOGS - 1));
    for log in earlier {
        // Another process may have deleted it.
        fs::remove_file(log).ok();
    }
    Ok(folder.join(format!("{name}.{}.log", Uuid::now_v7().simple())))
}

/// The logs of a server's runs, the newest last.
pub(super) fn logs_of(name: &str) -> Result<Vec<PathBuf>> {
    let folder = below("logs")?;
    let prefix = format!("{name}.");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    // Names hold the time of their making first.
    let mut names: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|file| file.starts_with(&prefix))
        .collect();
    names.sort();
    Ok(names.into_iter().map(|file| folder.join(file)).collect())
}

/// The log opened for appending.
pub(super) fn append_to(log: &Path) -> Result<File> {
    File::options().create(true).append(true).open(log).with_context(|| format!("cannot open {}", log.display()))
}

/// The last lines of a log.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_without_a_living_process_are_cleared() {
        let base = tempfile::tempdir().unwrap();
        for (name, pid) in
            [("run-1", std::process::id().to_string()), ("run-2", "4194305".to_owned()), ("else", String::new())]
        {
            fs::create_dir(base.path().join(name)).unwrap();
            fs::write(base.path().join(name).join("pid"), pid).unwrap();
        }
        clear_dead(base.path(), "run-", Duration::from_hours(1));
        assert!(base.path().join("run-2").exists(), "it may be about to start");
        clear_dead(base.path(), "run-", Duration::ZERO);
        let mut left: Vec<_> = fs::read_dir(base.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["else", "run-1"]);
    }

    #[test]
    fn secrets_are_written_for_us_alone_also_over_a_file_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        write_secret(&file, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
