//! What is wrong with the servers that connections name: each is asked as the tasks will ask it, and what is not right is said
//! with its reason and its remedy. Nothing is written anywhere, and nothing is asked that costs credits.

mod api;
#[cfg(feature = "sql")]
mod clickhouse;
mod connect;
#[cfg(feature = "kafka")]
mod kafka;
mod lake;
#[cfg(feature = "sql")]
mod postgres;
mod programs;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use updraft_task::{ConnectionKind as _, LakeConnection, Timestamp};

use crate::dbt::Dbt;
use crate::opensky::{OpenSky, budget};

/// A server that says nothing for so long is one that does not answer.
const LIMIT: Duration = Duration::from_secs(5);

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gravity {
    /// Works, and less than it could.
    Warning,
    /// The server answers, and tasks will fail.
    Error,
    /// The server does not answer.
    Unreachable,
}

/// One thing that is not right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its name, the same for ever: `topic_missing`.
    pub name: &'static str,
    /// How bad it is.
    pub gravity: Gravity,
    /// What was found; without secrets.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    fn new(name: &'static str, gravity: Gravity, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, gravity, reason: reason.into(), remedy: remedy.into() }
    }
}

/// What workflows will look for on the servers.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// Kafka's topics.
    pub topics: BTreeSet<String>,
    /// Tables, by the names that workflows use.
    pub tables: BTreeSet<String>,
}

impl Needs {
    /// Adds what a workflow file names: topics of `kafka.publish` and `kafka.consume`, tables of `warehouse.load`. One without
    /// a schedule needs nothing until somebody starts it; of one that does not read `updraft check` tells.
    pub fn add(&mut self, workflow: &Value) {
        if workflow["schedule"].is_null() {
            return;
        }
        for task in workflow["tasks"].as_array().into_iter().flatten() {
            let kind = task["type"].as_str().unwrap_or_default();
            // What a template makes is known in a run alone.
            let named =
                |field: &str| task["with"][field].as_str().filter(|text| !text.contains("{{")).map(str::to_owned);
            if matches!(kind, "kafka.publish" | "kafka.consume") {
                self.topics.extend([named("topic"), named("dead_letter")].into_iter().flatten());
            } else if kind == "warehouse.load" {
                self.tables.extend(named("table"));
            }
        }
    }
}

/// Asks what a connection names; `None` if there is no more to ask for its kind than whether somebody listens.
pub async fn connection(
    kind: &str,
    fields: &Map<String, Value>,
    project: &Path,
    needs: &Needs,
) -> Option<Vec<Problem>> {
    match kind {
        #[cfg(feature = "kafka")]
        crate::kafka::KafkaConnection::KIND => Some(kafka::look(typed(fields)?, needs).await),
        #[cfg(feature = "sql")]
        crate::warehouse_load::WarehouseConnection::KIND => {
            let warehouse: crate::warehouse_load::WarehouseConnection = typed(fields)?;
            match warehouse.engine {
                crate::warehouse_load::Engine::Lake => None,
                crate::warehouse_load::Engine::Clickhouse => Some(clickhouse::look(&warehouse, needs).await),
                crate::warehouse_load::Engine::Postgres => Some(postgres::look(&warehouse, needs).await),
            }
        }
        #[cfg(feature = "sql")]
        crate::spark::Spark::KIND => Some(programs::spark(&typed(fields)?, project).await),
        LakeConnection::KIND => lake::look(&typed(fields)?).await,
        Dbt::KIND => Some(programs::dbt(&typed(fields)?, project)),
        // Built-in defaults are nobody's choice, and nobody is asked for them.
        OpenSky::KIND if fields.contains_key("base_url") => Some(api::look(&typed(fields)?).await),
        "http" => connect::look(fields).await,
        _ => None,
    }
}

/// Where Updraft's store keeps what is left of the budget that a connection draws on: scope and key of shared state.
pub fn budget(kind: &str, fields: &Map<String, Value>) -> Option<(&'static str, String)> {
    let connection: OpenSky = if kind == OpenSky::KIND { typed(fields)? } else { return None };
    Some((budget::SCOPE, connection.account()))
}

/// What is wrong with a budget, as the store keeps it.
pub fn spent(kept: &str, now: Timestamp) -> Option<Problem> {
    let known: budget::Budget = serde_json::from_str(kept).ok()?;
    let until = known.hold(now)?;
    Some(Problem::new(
        "api_limit",
        Gravity::Warning,
        format!(
            "OpenSky's credits are used up: no call before {until}, as a 429 said; collecting tasks are skipped until then"
        ),
        "wait; ask less often or for smaller regions (the task plan_collection says what a round costs), or use an account with more credits",
    ))
}

/// Fields that do not fit are said by the connection's own check.
fn typed<C: DeserializeOwned>(fields: &Map<String, Value>) -> Option<C> {
    serde_json::from_value(Value::Object(fields.clone())).ok()
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(LIMIT).build().unwrap_or_default()
}

/// An error and what it comes from, without addresses: they may hold credentials.
fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scheduled_workflows_need_what_they_name() {
        let tasks = json!([
            { "type": "kafka.publish", "with": { "topic": "a", "dead_letter": "a.dlq" } },
            { "type": "kafka.consume", "with": { "topic": "{{ params.topic }}" } },
            { "type": "warehouse.load", "with": { "table": "t" } },
            { "type": "http.request", "with": { "topic": "no" } },
            { "type": 7 },
        ]);
        let mut needs = Needs::default();
        needs.add(&json!({ "tasks": tasks }));
        assert!(needs.topics.is_empty() && needs.tables.is_empty());
        needs.add(&json!({ "schedule": "@hourly", "tasks": tasks }));
        needs.add(&json!("no workflow"));
        assert_eq!(needs.topics.into_iter().collect::<Vec<_>>(), ["a", "a.dlq"]);
        assert_eq!(needs.tables.into_iter().collect::<Vec<_>>(), ["t"]);
    }

    #[tokio::test]
    async fn other_kinds_are_asked_nothing() {
        let fields = json!({ "base_url": "http://127.0.0.1:1", "token": "x" });
        let fields = fields.as_object().unwrap();
        for kind in ["http", "smtp", "webhook", "group", "nonsense"] {
            assert_eq!(connection(kind, fields, Path::new("."), &Needs::default()).await, None, "{kind}");
        }
    }
}
