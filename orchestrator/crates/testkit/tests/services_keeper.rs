//! What happens to servers whose owner goes without a word.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests say what they expect")]

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use updraft_testkit::{
    process::{PATIENCE, Program, Stream},
    services::s3,
};

/// `updraft-testservers own s3`, killed with -9: server, supervisor and folder are gone.
#[test]
fn a_server_ends_with_its_owner_even_if_that_one_is_killed() {
    let Some(probe) = s3::own_server().unwrap() else { return };
    drop(probe);
    let owner = Program::new(env!("CARGO_BIN_EXE_updraft-testservers")).args(["own", "s3"]);
    let home = std::env::var("HOME").unwrap();
    let owner = owner.env("HOME", home).start().unwrap();
    let said: serde_json::Value = serde_json::from_str(&owner.wait_for_line(Stream::Out, |_| true).unwrap()).unwrap();
    let process = PathBuf::from(format!("/proc/{}", said["pid"]));
    let folder = Path::new(said["folder"].as_str().unwrap());
    assert!(process.exists() && folder.exists());
    let parent = parent_of(&process);
    owner.kill().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while process.exists() || folder.exists() || parent.exists() {
        assert!(Instant::now() < deadline, "left behind: {said}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn parent_of(process: &Path) -> PathBuf {
    let status = std::fs::read_to_string(process.join("status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim();
    PathBuf::from("/proc").join(parent)
}
