//! What happens to servers whose owner goes, with or without a word.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests say what they expect")]

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use updraft_testkit::{
    process::{Finished, PATIENCE, Program, Stream},
    services::s3,
};

fn testservers() -> Program {
    let program = Program::new(env!("CARGO_BIN_EXE_updraft-testservers"));
    ["HOME", "XDG_CACHE_HOME"]
        .iter()
        .filter_map(|name| Some((name, env::var_os(name)?)))
        .fold(program, |program, (name, value)| program.env(name, value))
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn process(pid: impl std::fmt::Display) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

/// False for one that has ended and that nobody has waited for: the new parent of an orphan may be slow.
fn lives(process: &Path) -> bool {
    fs::read_to_string(process.join("stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn parent_of(process: &Path) -> PathBuf {
    let status = fs::read_to_string(process.join("status")).unwrap();
    self::process(status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim())
}

#[test]
fn a_server_ends_with_its_owner_even_if_that_one_is_killed() {
    let Some(probe) = s3::own_server().unwrap() else { return };
    drop(probe);
    let owner = testservers().args(["own", "s3"]).start().unwrap();
    let said: serde_json::Value = serde_json::from_str(&owner.wait_for_line(Stream::Out, |_| true).unwrap()).unwrap();
    let server = process(&said["pid"]);
    let folder = Path::new(said["folder"].as_str().unwrap());
    let supervisor = parent_of(&server);
    assert!(lives(&server) && folder.exists() && lives(&supervisor));
    owner.kill().unwrap();
    wait_until("something is left behind", || !lives(&server) && !folder.exists() && !lives(&supervisor));
}

/// Servers of a world of their own: another temporary folder, so that no other test uses them.
struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        Self(folder)
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        testservers().env("TMPDIR", self.0.path().join("tmp")).args(arguments).run().unwrap()
    }

    /// The folder of the shared server.
    fn home(&self) -> PathBuf {
        let base = fs::read_dir(self.0.path().join("tmp")).unwrap().next().unwrap().unwrap().path();
        base.join("s3")
    }

    /// The shared server's process.
    fn server(&self) -> PathBuf {
        let run = fs::read_to_string(self.home().join("current")).unwrap();
        process(fs::read_to_string(self.home().join(run).join("pid")).unwrap().trim())
    }

    fn holder(&self) -> i32 {
        fs::read_to_string(self.home().join("holder")).unwrap().trim().parse().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.run(&["down"]);
    }
}

#[test]
fn up_leaves_a_server_and_a_profile_and_down_leaves_nothing() {
    let Some(probe) = s3::own_server().unwrap() else { return };
    drop(probe);
    let world = World::new();
    let project = world.0.path().to_str().unwrap();
    let up = world.run(&["up", "s3", "--project", project]);
    assert_eq!(up.code(), Some(0), "{}{}", up.out, up.err);
    let profile = world.0.path().join(".updraft/services.yaml");
    let text = fs::read_to_string(&profile).unwrap();
    assert_eq!(fs::metadata(&profile).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(text.contains("lake: {kind: \"lake\", url: \"s3://lake\"") && !text.contains("kafka"), "{text}");
    let (server, keeper) = (world.server(), parent_of(&world.server()));
    assert!(lives(&server) && lives(&keeper));
    let secret = text.split("secret_access_key: \"").nth(1).unwrap().split('"').next().unwrap();
    let arguments = fs::read_to_string(server.join("cmdline")).unwrap();
    assert!(!arguments.contains(secret) && !up.out.contains(secret), "secrets are not for everybody's eyes");

    // The same server, and the same profile.
    let again = world.run(&["up", "s3", "--project", project]);
    assert_eq!((again.code(), world.server()), (Some(0), server.clone()));
    assert_eq!(fs::read_to_string(&profile).unwrap(), text);
    let status = world.run(&["status"]);
    assert!(status.out.lines().any(|line| line.starts_with("s3 ") && line.contains("held by up")), "{}", status.out);
    assert!(status.out.lines().any(|line| line.starts_with("kafka ") && line.ends_with('-')), "{}", status.out);
    assert_eq!(world.run(&["up", "oracle"]).code(), Some(2));

    let down = world.run(&["down", "--project", project]);
    assert_eq!(down.code(), Some(0), "{}{}", down.out, down.err);
    assert!(!lives(&server) && !profile.exists());
    wait_until("the keeper is left", || !lives(&keeper));
    let left: Vec<_> = fs::read_dir(world.home()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("run-")), "{left:?}");
    let logs = world.run(&["logs", "s3"]);
    assert!(logs.out.starts_with("==> "), "logs are kept: {}", logs.out);
}

/// What a test run does; somebody's own servers are left alone.
#[test]
fn hold_ends_what_nobody_else_uses_when_its_input_is_closed() {
    let Some(probe) = s3::own_server().unwrap() else { return };
    drop(probe);
    let world = World::new();
    let hold = || {
        let program = testservers().env("TMPDIR", world.0.path().join("tmp")).args(["hold", "s3"]);
        let running = program.start().unwrap();
        running.wait_for_line(Stream::Out, |line| line == "ready").unwrap();
        running
    };
    let mut alone = hold();
    let server = world.server();
    assert!(lives(&server));
    alone.close_input();
    assert_eq!(alone.wait(Duration::from_secs(15)).unwrap().code(), Some(0), "without the grace time");
    assert!(!lives(&server));

    let project = world.0.path().to_str().unwrap();
    assert_eq!(world.run(&["up", "s3", "--project", project]).code(), Some(0));
    let mut second = hold();
    second.close_input();
    assert_eq!(second.wait(PATIENCE).unwrap().code(), Some(0));
    thread::sleep(Duration::from_secs(1));
    assert!(lives(&world.server()), "`up` was there before");
}

#[test]
fn a_shared_server_ends_some_time_after_its_last_user_was_killed() {
    let Some(probe) = s3::own_server().unwrap() else { return };
    drop(probe);
    let world = World::new();
    let project = world.0.path().to_str().unwrap();
    assert_eq!(world.run(&["up", "s3", "--project", project]).code(), Some(0));
    let (server, keeper) = (world.server(), parent_of(&world.server()));
    kill(Pid::from_raw(world.holder()), Signal::SIGKILL).unwrap();
    thread::sleep(Duration::from_secs(2));
    assert!(lives(&server), "another user may be about to come");
    wait_until("the server is left", || !lives(&server) && !lives(&keeper));
}

#[test]
fn what_cannot_be_had_is_named_with_the_remedy() {
    let world = World::new();
    let project = world.0.path();
    // No Java on this PATH, nothing in this cache.
    let up = testservers().env("TMPDIR", project.join("tmp")).env("XDG_CACHE_HOME", project).env("PATH", project);
    let up = up.args(["up", "kafka", "--project"]).arg(project).run().unwrap();
    assert_eq!(up.code(), Some(3), "{}{}", up.out, up.err);
    assert!(up.out.contains("kafka       skipped: no `java` here (Java 17 or newer"), "{}", up.out);
}

/// A server that has died is replaced by the next one who asks.
#[test]
fn a_dead_shared_server_is_replaced() {
    let Some(probe) = s3::own_server().unwrap() else { return };
    drop(probe);
    let world = World::new();
    let project = world.0.path().to_str().unwrap();
    assert_eq!(world.run(&["up", "s3", "--project", project]).code(), Some(0));
    let first = world.server();
    let pid = first.file_name().unwrap().to_str().unwrap().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    wait_until("it lives", || !lives(&first));
    let again = world.run(&["up", "s3", "--project", project]);
    assert_eq!(again.code(), Some(0), "{}", again.err);
    assert!(world.server() != first && lives(&world.server()));
}
