//! The lock that makes one process the owner of a database file: an exclusive lock on `<file>.lock`, which holds the
//! owner's process id as text. The operating system releases it when the process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use updraft_store::StoreError;

const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// Held from the opening of a store to its end.
#[derive(Debug)]
pub(crate) struct FileLock {
    file: File,
}

/// `<database>.lock`.
pub fn lock_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

impl FileLock {
    /// Takes the lock, or says who holds it.
    pub(crate) fn take(database: &Path) -> Result<Self, StoreError> {
        let path = lock_path(database);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(
                |error| StoreError::Unavailable(format!("cannot open the lock file {}: {error}", path.display())),
            )?;
        // A look by `owner` holds a shared lock for some microseconds: one refusal is not yet an answer.
        let mut looks = 0;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if looks < LOOKS => {
                    looks += 1;
                    std::thread::sleep(BETWEEN_LOOKS);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::Held { what: database.display().to_string(), holder: holder(&mut file) });
                }
                Err(TryLockError::Error(error)) => {
                    return Err(StoreError::Unavailable(format!("cannot lock {}: {error}", path.display())));
                }
            }
        }
        let pid = std::process::id().to_string();
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(pid.as_bytes()))
            .map_err(|error| StoreError::Unavailable(format!("cannot write {}: {error}", path.display())))?;
        Ok(Self { file })
    }

    /// Gives it back before the process ends.
    pub(crate) fn release(&self) {
        // The lock file stays: removing it would let two processes lock two different files of the same name.
        if let Err(error) = self.file.set_len(0).and_then(|()| self.file.unlock()) {
            tracing::warn!(%error, "the store's file lock could not be released; it ends with this process");
        }
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!("process {}", text.trim()),
        Ok(_) | Err(_) => "another process".to_owned(),
    }
}

/// The process that owns this file now, if any.
///
/// # Errors
/// [`StoreError::Unavailable`] if the lock file cannot be read.
pub fn owner(database: &Path) -> Result<Option<u32>, StoreError> {
    let path = lock_path(database);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::Unavailable(format!("cannot open {}: {error}", path.display()))),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            file.read_to_string(&mut text)
                .map_err(|error| StoreError::Unavailable(format!("cannot read {}: {error}", path.display())))?;
            Ok(Some(text.trim().parse().unwrap_or(0)))
        }
        Err(TryLockError::Error(error)) => {
            Err(StoreError::Unavailable(format!("cannot look at the lock of {}: {error}", path.display())))
        }
    }
}
