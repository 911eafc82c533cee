//! Children: their lines, their exits, and that nothing of them outlives what it should not.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use updraft_engine::Engine;
use updraft_model::state::{Outcome, RunState};
use updraft_store::logs::LogStream;

use crate::support::{
    attempt_started, config, detail, ended, file_lines, memory, outcomes, start, state_of, until, workflow,
};

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
    let lines = file_lines(&log_dir, run.run_id(), "a");
    let mut said: Vec<_> = lines.iter().map(|line| (line.text.as_str(), line.stream)).collect();
    said.sort_unstable_by_key(|(text, _)| *text);
    assert_eq!(said, [("err", LogStream::Stderr), ("out", LogStream::Stdout), ("partial", LogStream::Stdout)]);
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

/// The folder of [`worker_process`].
const WORKER_FOLDER: &str = "UPDRAFT_TEST_WORKER_FOLDER";

/// What that worker's second task does: notes its process and that it ran, then hangs unless there is a file `go`.
const SECOND: &str = "echo $$ >> pids; echo a >> ran; test -e go || exec sleep 100";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "not a test of its own: other tests start it as a process and kill it"]
async fn worker_process() {
    let folder = std::path::PathBuf::from(std::env::var_os(WORKER_FOLDER).unwrap());
    let place = crate::support::sqlite(&folder).await;
    let engine = Engine::start(config(&place, &folder)).await.unwrap();
    let tasks = json!([
        { "id": "before", "type": "act", "with": { "act": "child", "argv": ["sh", "-c", "echo before >> ran"] } },
        { "id": "a", "type": "act", "with": { "act": "child", "argv": ["sh", "-c", SECOND] }, "depends_on": ["before"] },
    ]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    panic!("it was to be killed, but ended: {:?}", run.wait().await);
}

/// A worker process that has been killed while its second task ran, and that task's child.
async fn killed_worker(folder: &Path) -> i32 {
    let mut worker = Command::new(std::env::current_exe().unwrap())
        .args(["children::worker_process", "--exact", "--ignored"])
        .env(WORKER_FOLDER, folder)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("the second task starts", || pids(folder, 1).is_some()).await;
    let child = pids(folder, 1).unwrap()[0];
    assert!(alive(child));
    worker.kill().unwrap();
    worker.wait().unwrap();
    child
}

async fn only_run(place: &crate::support::Place) -> updraft_model::id::RunId {
    let filter = updraft_store::read::RunFilter { limit: 10, ..Default::default() };
    place.reader.runs(&filter).await.unwrap()[0].row.facts.run_id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_dies_with_a_worker_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let child = killed_worker(folder.path()).await;
    eventually("the child is gone", || !alive(child)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_a_resume_repeats_what_was_cut_and_nothing_that_was_accepted() {
    let folder = tempfile::tempdir().unwrap();
    killed_worker(folder.path()).await;
    std::fs::write(folder.path().join("go"), "").unwrap();
    let place = crate::support::sqlite(folder.path()).await;
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let run_id = only_run(&place).await;
    let mut run = engine.resume(run_id).await.unwrap();
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    let detail = detail(&place, run_id).await;
    assert_eq!(outcomes(&detail, "before"), [Outcome::Succeeded]);
    assert_eq!(outcomes(&detail, "a"), [Outcome::Lost, Outcome::Succeeded]);
    let cut = detail.attempts.iter().find(|row| row.outcome == Outcome::Lost).unwrap();
    assert_eq!(cut.cause, updraft_model::state::Cause::WorkerDied);
    assert_eq!(std::fs::read_to_string(folder.path().join("ran")).unwrap(), "before\na\na\n");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_run_can_be_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    killed_worker(folder.path()).await;
    let place = crate::support::sqlite(folder.path()).await;
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let run_id = only_run(&place).await;
    engine.cancel(run_id, "cli:me", "no longer wanted").await.unwrap();
    let detail = detail(&place, run_id).await;
    assert_eq!(detail.run.row.projection.state, RunState::Cancelled);
    assert_eq!(outcomes(&detail, "a"), [Outcome::Lost]);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_children_run_at_once_than_there_are_process_slots() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&place, folder.path());
    config.process_slots = 2;
    let engine = Engine::start(config).await.unwrap();
    let script =
        "mkdir busy1 2>/dev/null && mine=busy1 || { mkdir busy2 && mine=busy2; } || exit 9; sleep 0.02; rmdir $mine";
    let tasks: Vec<_> = (0..8)
        .map(|n| json!({ "id": format!("t{n}"), "type": "act", "with": { "act": "child", "argv": ["sh", "-c", script] } }))
        .collect();
    let mut run = start(&engine, &place, workflow(json!(tasks))).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    for attempt in detail(&place, run.run_id()).await.attempts {
        assert_eq!(attempt.output.as_deref(), Some(r#"{"exit":"Code(0)"}"#), "a third child ran beside two");
    }
    engine.shutdown().await;
}
