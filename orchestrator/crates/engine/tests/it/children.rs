//! Children: their lines, their exits, and that nothing of them outlives what it should not.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use updraft_engine::Engine;
use updraft_engine::logs::LogReader;
use updraft_model::id::TaskKey;
use updraft_model::state::{Outcome, RunState};

use crate::support::{attempt_started, config, detail, ended, memory, outcomes, start, state_of, until, workflow};

fn alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat[stat.rfind(')').unwrap()..].starts_with(") Z"))
}

/// Waits for a condition, but not for ever.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn pids(folder: &Path, count: usize) -> Option<Vec<i32>> {
    let text = std::fs::read_to_string(folder.join("pids")).ok()?;
    let pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    (pids.len() == count).then_some(pids)
}

/// A shell, its background child, and one that leaves the session.
const TREE: &str = "echo $$ >> pids; sh -c 'echo $$ >> pids; exec sleep 100' & \
                    setsid sh -c 'echo $$ >> pids; exec sleep 100' & wait";

#[tokio::test(flavor = "multi_thread")]
async fn output_comes_as_lines_and_the_exit_as_what_it_was() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let config = config(&place, folder.path());
    let log_dir = config.log_dir.clone();
    let engine = Engine::start(config).await.unwrap();
    let argv = ["sh", "-c", "echo out; echo err >&2; printf partial; exit 3"];
    let tasks = json!([{ "id": "a", "type": "act", "with": { "act": "child", "argv": argv } }]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    assert_eq!(detail(&place, run.run_id()).await.attempts[0].output.as_deref(), Some(r#"{"exit":"Code(3)"}"#));
    let lines = LogReader::new(&log_dir, run.run_id(), &TaskKey::of("a"), 1).more().unwrap();
    let mut texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["err", "out", "partial"]);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_cannot_be_started_is_a_failure_with_its_reason() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let tasks = json!([{ "id": "a", "type": "act", "with": { "act": "child", "argv": ["no-such-program"] } }]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Failed);
    let attempt = detail(&place, run.run_id()).await.attempts[0].clone();
    assert_eq!(attempt.class.as_deref(), Some("Spawn"));
    assert!(attempt.message.unwrap().contains("No such file"));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_kills_the_whole_tree_and_what_left_its_session() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let tasks = json!([{ "id": "a", "type": "act", "with": { "act": "child", "argv": ["sh", "-c", TREE] } }]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    eventually("three processes start", || pids(folder.path(), 3).is_some()).await;
    let tree = pids(folder.path(), 3).unwrap();
    assert!(tree.iter().all(|pid| alive(*pid)));
    engine.cancel(run.run_id(), "test", "").await.unwrap();
    assert_eq!(state_of(&ended(&mut run).await), RunState::Cancelled);
    eventually("the tree is gone", || !tree.iter().any(|pid| alive(*pid))).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_kills_the_tree_of_a_child_that_ignores_signals() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let mut events = engine.subscribe();
    let argv = ["sh", "-c", "trap '' TERM INT; echo $$ >> pids; while :; do sleep 1; done"];
    let tasks = json!([{ "id": "a", "type": "act", "with": { "act": "child", "argv": argv } }]);
    let run = start(&engine, &place, workflow(tasks)).await;
    until(&mut events, attempt_started("a")).await;
    eventually("it starts", || pids(folder.path(), 1).is_some()).await;
    engine.abort().await;
    let tree = pids(folder.path(), 1).unwrap();
    eventually("it is gone", || !alive(tree[0])).await;
    assert_eq!(outcomes(&detail(&place, run.run_id()).await, "a"), [Outcome::Lost]);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_child_leaves_in_the_background_ends_with_it() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let argv = ["sh", "-c", "sh -c 'echo $$ >> pids; exec sleep 100' & until test -s pids; do sleep 0.01; done"];
    let tasks = json!([{ "id": "a", "type": "act", "with": { "act": "child", "argv": argv } }]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    assert!(!alive(pids(folder.path(), 1).unwrap()[0]));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_dies_with_a_worker_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = Command::new(env!("CARGO_BIN_EXE_updraft-engine-child"))
        .arg("worker")
        .arg(folder.path())
        .args(["sh", "-c", "echo $$ >> pids; exec sleep 100"])
        .spawn()
        .unwrap();
    eventually("the child starts", || pids(folder.path(), 1).is_some()).await;
    let child = pids(folder.path(), 1).unwrap()[0];
    assert!(alive(child));
    worker.kill().unwrap();
    worker.wait().unwrap();
    eventually("the child is gone", || !alive(child)).await;
}
