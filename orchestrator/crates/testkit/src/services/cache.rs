//! What is fetched once: whole or not at all, by one process while the others wait.

use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::missing::{Missing, apart};
use crate::skip;

/// For so long nobody tries again what could not be had: every test of a run would wait for it anew.
const REMEMBERED: Duration = Duration::from_mins(10);

/// `${XDG_CACHE_HOME:-$HOME/.cache}/updraft/servers`.
pub(super) fn folder() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let folder = cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("updraft/servers");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// The entry `name` of the cache. If it is not there, `make` makes a file or folder of the given path, which is then
/// renamed. `size` tells people what to expect.
pub(super) fn once(name: &str, size: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    if env::var_os("UPDRAFT_NO_SERVICES").is_some_and(|value| !value.is_empty()) {
        bail!(Missing::new("servers are left out: UPDRAFT_NO_SERVICES is set"));
    }
    once_in(&folder()?, name, size, make)
}

fn once_in(cache: &Path, name: &str, size: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let entry = cache.join(name);
    if entry.exists() {
        return Ok(entry);
    }
    let _lock = lock(cache, name)?;
    if entry.exists() {
        return Ok(entry);
    }
    let failed = cache.join(format!("{name}.failed"));
    if let Some(reason) = remembered(&failed) {
        bail!(Missing::new(format!(
            "{reason} (tried less than 10 minutes ago; remove {} to try now)",
            failed.display()
        )));
    }
    clear_parts(cache, name)?;
    // A name of its own: what a killed process has started may write to the old one for another moment.
    let part = cache.join(format!("{name}.{}.part", &Uuid::new_v4().simple().to_string()[..8]));
    skip::warn(&format!("fetching {name} into {} ({size})", cache.display()));
    let made = apart(make(&part)).and_then(|made| {
        if let Err(missing) = &made {
            fs::write(&failed, missing.to_string()).context("cannot note what is missing")?;
        }
        Ok(made?)
    });
    if let Err(error) = made {
        clear_parts(cache, name)?;
        return Err(error);
    }
    fs::rename(&part, &entry).with_context(|| format!("cannot rename {} to {}", part.display(), entry.display()))?;
    remove(&failed)?;
    Ok(entry)
}

/// Locks `name` until the value is dropped.
pub(super) fn lock(cache: &Path, name: &str) -> Result<File> {
    let path = cache.join(format!("{name}.lock"));
    let open = || {
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        file.lock()?;
        Ok::<_, io::Error>(file)
    };
    open().with_context(|| format!("cannot lock {}", path.display()))
}

fn remembered(failed: &Path) -> Option<String> {
    let age = fs::metadata(failed).ok()?.modified().ok()?.elapsed().ok()?;
    if age < REMEMBERED { fs::read_to_string(failed).ok() } else { None }
}

/// What processes that were killed have left.
fn clear_parts(cache: &Path, name: &str) -> Result<()> {
    let prefix = format!("{name}.");
    for entry in fs::read_dir(cache).with_context(|| format!("cannot list {}", cache.display()))?.flatten() {
        let path = entry.path();
        let ours = entry.file_name().to_str().is_some_and(|file| file.starts_with(&prefix));
        if ours && path.extension().is_some_and(|extension| extension == "part") {
            remove(&path)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Compares a folder's files with a list of `sha256  name`: the same names, the same sums.
///
/// # Errors
/// They differ: the registry serves something else than what was reviewed.
pub(super) fn check_sums(folder: &Path, list: &str) -> Result<()> {
    let mut left: Vec<String> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect())
        .with_context(|| format!("cannot list {}", folder.display()))?;
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (wanted, name) = line.split_once("  ").with_context(|| format!("`{line}` is no line of sha256sum"))?;
        let path = folder.join(name);
        let bytes = fs::read(&path).with_context(|| format!("{name} was not fetched"))?;
        let found = HEXLOWER.encode(&Sha256::digest(&bytes));
        if found != wanted {
            bail!("{name} has the sha256 {found}, not {wanted}: it is not the file that was reviewed");
        }
        left.retain(|other| other != name);
    }
    if !left.is_empty() {
        left.sort();
        bail!("fetched, and not on the list of sums: {}", left.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
    };

    use anyhow::anyhow;

    use super::*;

    #[test]
    fn it_is_made_once_whoever_asks() {
        let cache = tempfile::tempdir().unwrap();
        let made = AtomicUsize::new(0);
        let make = |part: &Path| {
            made.fetch_add(1, Ordering::SeqCst);
            Ok(fs::write(part, "kettle")?)
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let entry = once_in(cache.path(), "kettle-1", "small", make).unwrap();
                    assert_eq!(fs::read_to_string(entry).unwrap(), "kettle");
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_breaks_leaves_nothing_and_is_tried_again() {
        let cache = tempfile::tempdir().unwrap();
        fs::create_dir(cache.path().join("kettle-1.0.part")).unwrap();
        fs::write(cache.path().join("kettle-10.0.part"), "of another entry").unwrap();
        let broken = |part: &Path| {
            fs::create_dir(part)?;
            Err(anyhow!("wrong sum"))
        };
        assert_eq!(once_in(cache.path(), "kettle-1", "", broken).unwrap_err().to_string(), "wrong sum");
        let mut names: Vec<_> = fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["kettle-1.lock", "kettle-10.0.part"]);
        once_in(cache.path(), "kettle-1", "", |part| Ok(fs::create_dir(part)?)).unwrap();
    }

    #[test]
    fn what_cannot_be_had_is_not_asked_for_again_at_once() {
        let cache = tempfile::tempdir().unwrap();
        let missing = |_: &Path| bail!(Missing::new("no registry"));
        let first = apart(once_in(cache.path(), "kettle-1", "", missing)).unwrap().unwrap_err();
        assert_eq!(first.to_string(), "no registry");
        let again = |_: &Path| -> Result<()> { panic!("asked again") };
        let second = apart(once_in(cache.path(), "kettle-1", "", again)).unwrap().unwrap_err().to_string();
        assert!(second.starts_with("no registry (tried") && second.contains("kettle-1.failed"), "{second}");
        fs::remove_file(cache.path().join("kettle-1.failed")).unwrap();
        once_in(cache.path(), "kettle-1", "", |part| Ok(fs::write(part, "")?)).unwrap();
    }

    #[test]
    fn files_are_compared_with_their_list() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.jar"), "abc").unwrap();
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        check_sums(folder.path(), &format!("# jars\n{sum}  a.jar\n")).unwrap();
        let error = |list: &str| check_sums(folder.path(), list).unwrap_err().to_string();
        assert!(error("kettle").contains("no line of sha256sum"));
        assert!(error(&format!("00{}  a.jar", &sum[2..])).contains("not the file that was reviewed"));
        assert!(error(&format!("{sum}  a.jar\n{sum}  b.jar")).contains("b.jar was not fetched"));
        assert!(error("").contains("not on the list of sums: a.jar"));
    }
}
