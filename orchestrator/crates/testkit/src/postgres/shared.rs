//! One server for every test process of this user: who starts it, and when it ends.
//!
//! In a folder under the temporary one lie `start.lock` (held by whoever is looking for the server or starting it),
//! `users.lock` (held shared by every process that uses the server, exclusively by the server's keeper while it ends
//! it) and `url`. The kernel lets go of a lock when its process is gone, however it went, so nobody has to sign off.
//! The keeper waits for the exclusive lock, that is, for the last user to leave; then a grace time, since another test
//! binary may be about to start; then it ends the server, still holding the lock, so that nobody joins meanwhile.

use std::{
    env,
    fs::{self, File, Permissions},
    io,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::unistd::geteuid;
use uuid::Uuid;

use super::{
    LocalUrl,
    cluster::{free_port, tail, wait_until_it_answers},
    execute,
    install::Install,
};

const PATIENCE: Duration = Duration::from_mins(1);
const GRACE_S: &str = "20";
/// Somebody else may take the port between our finding it free and the server's taking it.
const TRIES: usize = 3;

/// $1 = postgres, $2 = the cluster's folder, $3 = the shared folder, $4 = the grace time.
const KEEP: &str = r#"
exec 9<"$3/users.lock"
"$1" -D "$2/data" 9<&- & server=$!
while kill -0 "$server"; do
  flock -x 9
  flock -u 9
  sleep "$4"
  if flock -n -x 9; then break; fi
done
if [ "$(cat "$2/url")" = "$(cat "$3/url")" ]; then rm -f "$3/url"; fi
kill -INT "$server"
wait "$server"
rm -rf "$2"
"#;

/// This process's use of the server.
#[derive(Debug)]
struct Membership {
    url: String,
    /// Held as long as the process lives.
    _users: File,
}

static MEMBERSHIP: Mutex<Option<Membership>> = Mutex::new(None);

/// The server named by the environment, or the shared one, started if it does not run.
pub(super) fn url() -> Result<String> {
    if let Some(url) = env::var_os("UPDRAFT_TEST_POSTGRES_URL").filter(|url| !url.is_empty()) {
        return url.into_string().map_err(|url| anyhow!("UPDRAFT_TEST_POSTGRES_URL is no text: {}", url.display()));
    }
    let mut membership = MEMBERSHIP.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(membership) = membership.as_ref() {
        return Ok(membership.url.clone());
    }
    let joined = join()?;
    Ok(membership.insert(joined).url.clone())
}

fn join() -> Result<Membership> {
    let install = Install::find()?;
    let folder = shared_folder(&install)?;
    let start = lock_file(&folder, "start.lock")?;
    start.lock().context("cannot lock start.lock")?;
    let users = lock_file(&folder, "users.lock")?;
    users.lock_shared().context("cannot lock users.lock")?;
    let url = match running(&folder) {
        Some(url) => url,
        None => start_server(&install, &folder)?,
    };
    Ok(Membership { url, _users: users })
}

/// Its name is known to everybody, so it has to be ours or the server's user's, and no link to somewhere else.
fn shared_folder(install: &Install) -> Result<PathBuf> {
    let folder = env::temp_dir().join(format!("updraft-test-postgres-{}", geteuid()));
    match fs::create_dir(&folder) {
        Ok(()) => install.hand_over(&folder)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| format!("cannot make {}", folder.display())),
    }
    let found = fs::symlink_metadata(&folder).with_context(|| format!("cannot look at {}", folder.display()))?;
    if !found.is_dir() || ![install.uid(), geteuid().as_raw()].contains(&found.uid()) {
        bail!("{} is no folder of this user's: remove it, or set TMPDIR to another folder", folder.display());
    }
    Ok(folder)
}

fn lock_file(folder: &Path, name: &str) -> Result<File> {
    let path = folder.join(name);
    let open = || {
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        // The keeper runs as the server's user, whatever this process's mask is.
        file.set_permissions(Permissions::from_mode(0o644))?;
        Ok::<_, io::Error>(file)
    };
    open().with_context(|| format!("cannot open {}", path.display()))
}

/// The server that another process has started, if it still answers.
fn running(folder: &Path) -> Option<String> {
    let url = fs::read_to_string(folder.join("url")).ok()?;
    execute(&url, "select 1").ok().map(|()| url)
}

fn start_server(install: &Install, shared: &Path) -> Result<String> {
    if Command::new("flock").arg("--version").output().is_err() {
        bail!("the program `flock` (package util-linux) is missing; set UPDRAFT_TEST_POSTGRES_URL to a server instead");
    }
    let folder = shared.join(format!("run-{}", &Uuid::new_v4().simple().to_string()[..8]));
    fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    install.hand_over(&folder)?;
    for _ in 0..TRIES {
        let port = free_port()?;
        install.initdb(&folder, port)?;
        let url = LocalUrl { port }.to_string();
        fs::write(folder.join("url"), &url).context("cannot note the server's URL")?;
        fs::write(shared.join("url"), &url).context("cannot note the server's URL")?;
        let log = File::create(folder.join("log")).context("cannot make the server's log")?;
        let mut keeper = install
            .command("/bin/sh", &folder)
            .args(["-c", KEEP, "sh"])
            .arg(install.postgres())
            .args([&folder, shared])
            .arg(GRACE_S)
            .stdout(log.try_clone().context("cannot share the server's log")?)
            .stderr(log)
            // An interrupt from the terminal is for the tests; the server ends after them.
            .process_group(0)
            .spawn()
            .context("cannot start PostgreSQL")?;
        if wait_until_it_answers(&mut keeper, &url, Instant::now() + PATIENCE)? {
            return Ok(url);
        }
        fs::remove_dir_all(folder.join("data")).context("cannot clear a cluster that did not start")?;
    }
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    bail!("PostgreSQL does not start; its log ends with:\n{}", tail(&log))
}
