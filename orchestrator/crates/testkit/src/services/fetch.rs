//! The ways that servers come here: Maven, the Python package index, Go's module proxy, Debian's packages.
//!
//! Each uses the registry's ordinary client as the machine has configured it, runs with the lowest priority, and pins both
//! version and sums: jars by a list of sha256, wheels by `--require-hashes`, Go programs by the module's `h1:` sum (their
//! dependencies by Go's checksum database), packages by the signed lists of apt.

use std::{
    ffi::OsStr,
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::{cache, missing::Missing, place::tail};

/// Runs a fetching command below a shell that ends its whole group when we are gone. What it says is in the error.
const TIED: &str = r#"
exec 3<&0
setsid nice -n 19 "$@" </dev/null 3<&- & job=$!
( while read -r _ <&3; do :; done; kill -KILL -"$job" ) 2>/dev/null & watch=$!
wait "$job"; status=$?
kill "$watch" 2>/dev/null
exit "$status"
"#;

/// A command that fetches; it sees our whole environment, since registries are configured there.
struct Fetch {
    command: Command,
    name: String,
}

impl Fetch {
    fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", TIED, "sh"]).arg(program.as_ref()).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, name: program.as_ref().to_string_lossy().into_owned() }
    }

    fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// What it writes to standard output. A failure means that the thing cannot be had here.
    fn run(mut self) -> Result<String> {
        let mut child = self.command.spawn().context("cannot start /bin/sh")?;
        // Dropped only after the end: its closing would end the command.
        let owner = child.stdin.take();
        let output = child.wait_with_output().with_context(|| format!("cannot wait for {}", self.name))?;
        drop(owner);
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = [output.stdout, output.stderr].concat();
        bail!(Missing::new(format!(
            "{} failed ({}): {}",
            self.name,
            output.status,
            tail(&String::from_utf8_lossy(&said))
        )))
    }
}

/// Fails with the remedy if a program that fetches is not here.
pub(super) fn need(program: &str, version_flag: &str, remedy: &str) -> Result<()> {
    match Command::new(program).arg(version_flag).stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(_) | Err(_) => bail!(Missing::new(format!("no `{program}` here ({remedy})"))),
    }
}

const JAVA: &str = "Java 17 or newer; Debian: `apt-get install openjdk-17-jre-headless`";

/// Fails if there is no Java.
pub(super) fn need_java() -> Result<()> {
    need("java", "-version", JAVA)
}

/// The runtime jars of a `pom.xml`, and nothing but those on the list.
pub(super) fn jars(name: &str, size: &str, pom: &str, sums: &str) -> Result<PathBuf> {
    cache::once(name, size, |part| {
        need_java()?;
        need("mvn", "-v", "Maven 3; Debian: `apt-get install maven`")?;
        // Two at a time would write to the same local repository.
        let _lock = cache::lock(&cache::folder()?, "maven")?;
        let work = tempfile::tempdir().context("cannot make a folder")?;
        fs::write(work.path().join("pom.xml"), pom).context("cannot write pom.xml")?;
        Fetch::new("mvn")
            .args(["-q", "-B", "-ntp", "--strict-checksums", "dependency:copy-dependencies", "-DincludeScope=runtime"])
            .args([format!("-DoutputDirectory={}", part.display())])
            .folder(work.path())
            .run()?;
        cache::check_sums(part, sums)
    })
}

/// A Python environment with the packages of a `requirements.txt` that names a hash for each; `import` is what must then
/// be importable. The environment's interpreter is `bin/python`; its packages are seen by nobody else.
pub(crate) fn python(name: &str, size: &str, requirements: &str, import: &str) -> Result<PathBuf> {
    let python = find_python()?;
    let name = format!("{name}-py{}", python.version);
    cache::once(&name, size, |part| {
        let list = tempfile::NamedTempFile::new().context("cannot make a file")?;
        fs::write(list.path(), requirements).context("cannot write the requirements")?;
        Fetch::new(python.program).args(["-m", "venv"]).args([part]).run()?;
        let pip = || {
            Fetch::new(part.join("bin/python")).args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-input",
                "--no-cache-dir",
                "--require-hashes",
                "--no-deps",
            ])
        };
        // What is built from source is built with what is pinned here, not with what the index has today.
        if let Some(build) = build_requirements(requirements) {
            let first = tempfile::NamedTempFile::new().context("cannot make a file")?;
            fs::write(first.path(), build).context("cannot write the requirements")?;
            pip().args(["-r"]).args([first.path()]).run()?;
        }
        pip().args(["--no-build-isolation", "-r"]).args([list.path()]).run()?;
        Fetch::new(part.join("bin/python")).args(["-c", import]).run()?;
        make_movable(part, &part.with_file_name(&name))
    })
}

/// Where an environment's packages lie.
pub(crate) fn site_packages(environment: &Path) -> Result<PathBuf> {
    let lib = environment.join("lib");
    let entries = fs::read_dir(&lib).with_context(|| format!("cannot list {}", lib.display()))?;
    entries
        .flatten()
        .map(|entry| entry.path().join("site-packages"))
        .find(|folder| folder.is_dir())
        .with_context(|| format!("no packages in {}", lib.display()))
}

/// The entry `setuptools` of a list of requirements, with its hashes.
fn build_requirements(requirements: &str) -> Option<String> {
    let from = requirements.find("setuptools==")?;
    let lines: Vec<_> = requirements[from..].lines().collect();
    let continued = lines.iter().take_while(|line| line.trim_end().ends_with('\\')).count();
    Some(lines[..=continued.min(lines.len() - 1)].join("\n"))
}

/// Scripts of an environment begin with its interpreter's path: with the path that it will have.
fn make_movable(environment: &Path, place: &Path) -> Result<()> {
    let (from, to) = (environment.display().to_string(), place.display().to_string());
    let bin = environment.join("bin");
    let scripts = fs::read_dir(&bin).with_context(|| format!("cannot list {}", bin.display()))?.flatten();
    for path in scripts.map(|entry| entry.path()).chain([environment.join("pyvenv.cfg")]) {
        if path.is_symlink() || !path.is_file() {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if text.contains(&from) {
            fs::write(&path, text.replace(&from, &to)).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

struct Python {
    program: &'static str,
    version: String,
}

fn find_python() -> Result<Python> {
    const PROBE: &str = "import sys, venv, ensurepip; v = sys.version_info[:2]; print('%d.%d' % v); \
                         sys.exit(not (3, 11) <= v < (3, 14))";
    for program in ["python3", "python3.13", "python3.12", "python3.11"] {
        let Ok(output) = Command::new(program).args(["-c", PROBE]).stdin(Stdio::null()).output() else { continue };
        if output.status.success() {
            let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            return Ok(Python { program, version });
        }
    }
    bail!(Missing::new("no Python 3.11 to 3.13 with venv here (Debian: `apt-get install python3 python3-venv`)"))
}

/// A Go program, built from the module at that version with that sum.
pub(super) fn go_program(name: &str, package: &str, version: &str, sum: &str) -> Result<PathBuf> {
    let program = package.rsplit('/').next().unwrap_or(package);
    cache::once(name, "built from source, 3 to 10 minutes", |part| {
        let go = Go::new(name)?;
        let built = go.folder("bin").join(program);
        go.command()
            .args(["install", "-trimpath", "-modcacherw", "-ldflags", "-s -w", &format!("{package}@{version}")])
            .env("GOBIN", go.folder("bin"))
            .run()?;
        let said = Fetch::new("go").args(["version", "-m"]).args([&built]).run()?;
        check_module_sum(&said, sum)?;
        fs::rename(&built, part).with_context(|| format!("cannot move {}", built.display()))
    })
}

/// A Go program of ours, built from its folder with the modules that its `go.sum` pins; anew when a file of it has changed.
pub(super) fn go_program_here(name: &str, sources: &Path) -> Result<PathBuf> {
    let mut hash = Sha256::new();
    let mut files: Vec<PathBuf> = fs::read_dir(sources)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .with_context(|| format!("cannot list {}", sources.display()))?;
    files.sort();
    for file in files {
        hash.update(fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?);
    }
    let name = format!("{name}-{}", &HEXLOWER.encode(&hash.finalize())[..12]);
    cache::once(&name, "built from source, a minute", |part| {
        let go = Go::new(&name)?;
        go.command()
            .args(["build", "-trimpath", "-modcacherw", "-buildvcs=false", "-mod=readonly", "-o"])
            .args([part])
            .folder(sources)
            .run()?;
        Ok(())
    })
}

/// Go with caches that go when the build is over: they would keep almost 3 GB for a program of 100 MB.
struct Go {
    work: tempfile::TempDir,
}

impl Go {
    fn new(name: &str) -> Result<Self> {
        need(
            "go",
            "version",
            "Go 1.26; it stands on PATH after an installation from the Go project or a distribution",
        )?;
        // Named so that it is cleared if we are killed.
        let work = tempfile::Builder::new()
            .prefix(&format!("{name}."))
            .suffix(".part")
            .tempdir_in(cache::folder()?)
            .context("cannot make a folder")?;
        Ok(Self { work })
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    fn command(&self) -> Fetch {
        Fetch::new("go")
            .env("GOCACHE", self.folder("cache"))
            .env("GOMODCACHE", self.folder("modules"))
            .env("GOTOOLCHAIN", "local")
    }
}

/// Looks for the main module's sum in what `go version -m` says of a program.
fn check_module_sum(said: &str, wanted: &str) -> Result<()> {
    let module = said.lines().find_map(|line| line.trim().strip_prefix("mod\t"));
    let found = module.and_then(|module| module.split_whitespace().last()).unwrap_or("none");
    if found != wanted {
        bail!(
            "the program was built from a module with the sum {found}, not {wanted}: it is not the one that was reviewed"
        );
    }
    Ok(())
}

/// Debian packages, unpacked and not installed: no service is started and nothing outside the cache is changed.
pub(super) fn debian(name: &str, size: &str, packages: &[&str]) -> Result<PathBuf> {
    cache::once(name, size, |part| {
        need("apt-get", "--version", "only Debian and its like have this package")?;
        let work = tempfile::tempdir().context("cannot make a folder")?;
        let download = || Fetch::new("apt-get").args(["download", "-qq"]).args(packages).folder(work.path()).run();
        if download().is_err() {
            // The lists of packages are missing or old.
            if nix::unistd::geteuid().is_root() {
                Fetch::new("apt-get").args(["update", "-qq"]).run()?;
            }
            download()?;
        }
        fs::create_dir(part).with_context(|| format!("cannot make {}", part.display()))?;
        for entry in fs::read_dir(work.path()).context("cannot list what was fetched")?.flatten() {
            Fetch::new("dpkg").args(["-x"]).args([entry.path().as_path(), part]).run()?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Instant};

    use super::*;
    use crate::services::{
        launch::{PATIENCE, PAUSE},
        missing::apart,
    };

    #[test]
    fn a_command_that_fails_says_why() {
        let missing = apart(Fetch::new("sh").args(["-c", "echo no route >&2; exit 4"]).run()).unwrap().unwrap_err();
        assert!(
            missing.to_string().contains("exit status: 4") && missing.to_string().contains("no route"),
            "{missing}"
        );
        assert_eq!(Fetch::new("echo").args(["said"]).run().unwrap(), "said\n");
    }

    #[test]
    fn a_command_ends_with_its_owner_and_so_does_what_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let script = "sleep 600 & echo $! > pid.part; mv pid.part pid; wait";
        let mut child = Fetch::new("sh").args(["-c", script]).folder(folder.path()).command.spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let pid = loop {
            match fs::read_to_string(folder.path().join("pid")) {
                Ok(pid) => break pid,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            thread::sleep(PAUSE);
        };
        let process = Path::new("/proc").join(pid.trim());
        assert!(process.exists());
        // What the kernel does when a process is killed.
        drop(child.stdin.take());
        child.wait().unwrap();
        while process.exists() {
            assert!(Instant::now() < deadline, "it is left behind");
            thread::sleep(PAUSE);
        }
    }

    #[test]
    fn the_sum_of_the_main_module_is_found() {
        let said = "/x/gw: go1.26.8\n\tpath\texample.org/cmd/gw\n\tmod\texample.org/gw\tv1.8.0\th1:abc=\n\tdep\tb\tv1\th1:no=\n";
        check_module_sum(said, "h1:abc=").unwrap();
        assert!(check_module_sum(said, "h1:no=").unwrap_err().to_string().contains("h1:abc="));
        assert!(check_module_sum("", "h1:no=").is_err());
    }

    #[test]
    fn build_requirements_are_one_entry_with_its_hashes() {
        let list = "a==1 \\\n    --hash=sha256:1\nsetuptools==80 \\\n    --hash=sha256:2 \\\n    --hash=sha256:3\nz==1 \\\n    --hash=x\n";
        let expected = "setuptools==80 \\\n    --hash=sha256:2 \\\n    --hash=sha256:3";
        assert_eq!(build_requirements(list).as_deref(), Some(expected));
        assert_eq!(build_requirements("a==1"), None);
    }

    #[test]
    fn scripts_name_the_place_that_the_environment_moves_to() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("x.part");
        fs::create_dir_all(part.join("bin")).unwrap();
        fs::write(part.join("bin/pip"), format!("#!{}/bin/python\n", part.display())).unwrap();
        let place = folder.path().join("x");
        make_movable(&part, &place).unwrap();
        assert_eq!(fs::read_to_string(part.join("bin/pip")).unwrap(), format!("#!{}/bin/python\n", place.display()));
    }
}
