//! Attempt logs from outside: there while the task runs, without secrets.

use serde_json::{Map, Value, json};
use std::sync::Arc;
use updraft_engine::logs::LogReader;
use updraft_engine::{ConnectionSource, Engine};
use updraft_model::id::TaskKey;
use updraft_model::state::RunState;
use updraft_task::{Connection, ConnectionKind, Registry, Secret};

use crate::support::{Act, attempt_started, config, ended, memory, start, state_of, until, workflow};

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
    let mut reader = LogReader::new(&log_dir, run.run_id(), &TaskKey::of("a"), 1);
    let mut texts: Vec<String> = Vec::new();
    while texts.len() < 3 {
        texts.extend(reader.more().unwrap().into_iter().map(|line| line.text));
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
