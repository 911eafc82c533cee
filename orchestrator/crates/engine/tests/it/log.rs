//! Attempt logs from outside: there while the task runs, without secrets.

use serde_json::{Map, Value, json};
use std::sync::Arc;
use updraft_engine::{ConnectionSource, Engine};
use updraft_model::id::TaskKey;
use updraft_model::state::RunState;
use updraft_store::Purpose;
use updraft_store::logs::{self, LogInfo, LogKey, LogStream};
use updraft_task::{Connection, ConnectionKind, Registry, Secret};

use crate::support::{
    Act, Place, attempt_started, config, ended, file_lines, memory, sqlite, start, state_of, until, workflow,
};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Vault {
    #[expect(dead_code, reason = "only its schema matters here")]
    password: Secret,
}

impl ConnectionKind for Vault {
    const KIND: &'static str = "vault";
    const SUMMARY: &'static str = "Holds a secret";
}

struct OneSecret;

impl ConnectionSource for OneSecret {
    fn connection(&self, name: &str) -> Option<Connection> {
        let mut fields = Map::new();
        fields.insert("password".to_owned(), Value::from("hunter22"));
        (name == "vault").then(|| Connection { name: name.to_owned(), kind: "vault".to_owned(), fields })
    }

    fn names(&self) -> Vec<String> {
        vec!["vault".to_owned()]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_can_be_read_while_its_task_runs_and_holds_no_secret() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&place, folder.path());
    let mut registry = Registry::new();
    registry.add::<Act>().add_connection::<Vault>();
    config.registry = Arc::new(registry);
    config.connections = Arc::new(OneSecret);
    let log_dir = config.log_dir.clone();
    let engine = Engine::start(config).await.unwrap();
    let mut events = engine.subscribe();
    let say = json!(["begin", "the password is hunter22", "aHVudGVyMjI="]);
    let tasks = json!([{ "id": "a", "type": "act", "with": { "act": "log", "say": say } }]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    until(&mut events, attempt_started("a")).await;
    let mut texts: Vec<String> = Vec::new();
    while texts.len() < 3 {
        texts = file_lines(&log_dir, run.run_id(), "a").into_iter().map(|line| line.text).collect();
        tokio::task::yield_now().await;
    }
    assert_eq!(texts[..2], ["begin", "the password is ***"]);
    assert!(texts[2].starts_with("***"), "{texts:?}");
    engine.cancel(run.run_id(), "test", "").await.unwrap();
    ended(&mut run).await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_says_nothing_has_no_log_file() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let config = config(&place, folder.path());
    let log_dir = config.log_dir.clone();
    let engine = Engine::start(config).await.unwrap();
    let mut run = start(&engine, &place, crate::support::chain(3)).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    assert!(!log_dir.exists());
    engine.shutdown().await;
}

fn key(run: updraft_model::id::RunId, task: &str) -> LogKey {
    LogKey { run_id: run, key: TaskKey::of(task), dispatch_no: 1 }
}

/// Until a log looks as wanted.
async fn shipped(place: &Place, log: &LogKey, wanted: impl Fn(&LogInfo) -> bool) -> LogInfo {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let found = place.logs.info(log).await.unwrap();
        if let Some(info) = found.clone().filter(&wanted) {
            return info;
        }
        assert!(std::time::Instant::now() < deadline, "{found:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn a_log_is_shipped(place: Place) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&place, folder.path());
    config.logs = Some(Arc::clone(&place.logs));
    let log_dir = config.log_dir.clone();
    let engine = Engine::start(config).await.unwrap();
    let mut events = engine.subscribe();
    let tasks = json!([
        { "id": "a", "type": "act", "with": { "act": "log", "say": ["one", "two", "three"] } },
        { "id": "b", "type": "act", "with": { "act": "fail" }, "allow_failure": true },
        { "id": "c", "type": "act" },
    ]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    until(&mut events, attempt_started("a")).await;
    let a = key(run.run_id(), "a");
    // Somebody follows the live attempt.
    place.logs.followed(run.run_id()).await.unwrap();
    let live = shipped(&place, &a, |info| info.lines == 3).await;
    assert!(!live.complete && live.first_error.is_none());
    let text = logs::read_text(&*place.logs, &a, 0, 1 << 20).await.unwrap().text;
    assert_eq!(text, std::fs::read_to_string(updraft_engine::logs::path(&log_dir, run.run_id(), &a.key, 1)).unwrap());
    let failed = shipped(&place, &key(run.run_id(), "b"), |info| info.complete).await;
    assert_eq!(failed.first_error.unwrap().text, "Broken: it is broken");
    engine.cancel(run.run_id(), "test", "").await.unwrap();
    ended(&mut run).await;
    engine.shutdown().await;
    let info = place.logs.info(&a).await.unwrap().unwrap();
    assert!(info.complete && info.lines >= 3, "{info:?}");
    assert_eq!(place.logs.info(&key(run.run_id(), "c")).await.unwrap(), None, "it said nothing");
    assert!(!log_dir.join(run.run_id().to_string()).exists(), "the store has it all: the files go");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_shipped_while_it_is_followed_and_its_files_go_at_the_end() {
    a_log_is_shipped(memory()).await;
    let folder = tempfile::tempdir().unwrap();
    a_log_is_shipped(sqlite(folder.path()).await).await;
    let Some((place, _database)) = crate::support::postgres().await else { return };
    a_log_is_shipped(place).await;
}

/// In the store as in the file: marked with their stream, masked, addressed by the bytes that they are.
#[tokio::test(flavor = "multi_thread")]
async fn lines_of_children_are_shipped_with_their_stream() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&place, folder.path());
    config.logs = Some(Arc::clone(&place.logs));
    let mut registry = Registry::new();
    registry.add::<Act>().add_connection::<Vault>();
    config.registry = Arc::new(registry);
    config.connections = Arc::new(OneSecret);
    let engine = Engine::start(config).await.unwrap();
    let argv = ["sh", "-c", "echo '! out hunter22'; sleep 0.2; echo '| err hunter22' >&2"];
    let tasks = json!([{ "id": "a", "type": "act", "with": { "act": "child", "argv": argv } }]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    engine.shutdown().await;
    let a = key(run.run_id(), "a");
    let page = logs::lines_from(&*place.logs, &a, logs::LogAt::Offset(0), 10, u64::MAX).await.unwrap();
    let said: Vec<_> = page.lines.iter().map(|line| (line.stream, line.text.as_str())).collect();
    assert_eq!(said, [(LogStream::Stdout, "! out ***"), (LogStream::Stderr, "| err ***")]);
    let from_second = logs::lines_from(&*place.logs, &a, logs::LogAt::Offset(page.lines[1].offset), 10, u64::MAX).await;
    assert_eq!(from_second.unwrap().lines, page.lines[1..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_beyond_its_limit_keeps_beginning_and_end_in_the_store() {
    let place = memory();
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&place, folder.path());
    config.logs = Some(Arc::clone(&place.logs));
    config.log_limit_bytes = 8000;
    let engine = Engine::start(config).await.unwrap();
    let mut events = engine.subscribe();
    let say: Vec<String> = (0..2000).map(|n| format!("line {n}")).collect();
    let tasks = json!([{ "id": "a", "type": "act", "with": { "act": "log", "say": say } }]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    until(&mut events, attempt_started("a")).await;
    let a = key(run.run_id(), "a");
    shipped(&place, &a, |info| info.lines >= 2000).await;
    engine.cancel(run.run_id(), "test", "").await.unwrap();
    ended(&mut run).await;
    engine.shutdown().await;
    let info = place.logs.info(&a).await.unwrap().unwrap();
    let gap = info.gap.expect("a gap");
    assert!(info.complete && info.lines >= 2000 && gap.lines > 1000, "{info:?}");
    let page = logs::lines_from(&*place.logs, &a, logs::LogAt::Offset(0), 5000, u64::MAX).await.unwrap();
    let numbered = page.lines.iter().filter(|line| line.text.starts_with("line "));
    for line in numbered {
        assert_eq!(line.text, format!("line {}", line.line - 1), "numbers go on over the gap");
    }
    assert_eq!(page.lines.iter().filter(|line| line.text.contains("were not kept")).count(), 1);
    let kept: usize = page.lines.iter().map(|line| line.text.len() + 31).sum();
    assert!((7000..11_000).contains(&kept), "{kept}");
}

/// Logs share commits, and none of them is the engine's.
#[tokio::test(flavor = "multi_thread")]
async fn logs_cost_the_engine_no_commit() {
    let folder = tempfile::tempdir().unwrap();
    let place = sqlite(folder.path()).await;
    let mut config = config(&place, folder.path());
    config.logs = Some(Arc::clone(&place.logs));
    let engine = Engine::start(config).await.unwrap();
    let tasks: Vec<Value> = (0..60)
        .map(|n| {
            let after: Vec<String> = (n > 0).then(|| format!("t{}", n - 1)).into_iter().collect();
            json!({ "id": format!("t{n}"), "type": "act", "with": { "act": "skip" }, "depends_on": after, "trigger_rule": "all_done" })
        })
        .collect();
    let new = crate::support::new_run(&*place.store, workflow(Value::Array(tasks))).await;
    let counters = place.store.counters();
    let before = (counters.commits(Purpose::Engine), counters.commits(Purpose::Logs));
    let mut run = engine.create_run(new).await.unwrap();
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    let engine_commits = counters.commits(Purpose::Engine) - before.0;
    engine.shutdown().await;
    assert_eq!(engine_commits, 61, "a chain of N tasks is N + 1 commits, logs or not");
    let log_commits = counters.commits(Purpose::Logs) - before.1;
    assert!(log_commits <= 30, "{log_commits} commits for the logs of 60 attempts");
    for n in 0..60 {
        let info = place.logs.info(&key(run.run_id(), &format!("t{n}"))).await.unwrap().unwrap();
        assert!(info.complete && info.lines == 1);
    }
}
