//! dbt's artefact `run_results.json` (schema v6): what each node did.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use updraft_task::{TaskError, TaskItem};

/// Nodes listed in an output; the counts hold all.
const LISTED: usize = 150;
/// Some batches of a model in batches failed: dbt runs these again.
const PARTIAL: &str = "partial success";

#[derive(Deserialize)]
struct Artefact {
    #[serde(default)]
    elapsed_time: f64,
    results: Vec<RawNode>,
}

#[derive(Deserialize)]
struct RawNode {
    unique_id: String,
    status: String,
    #[serde(default)]
    execution_time: f64,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    failures: Option<u64>,
    #[serde(default)]
    adapter_response: Value,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A model.
    Model,
    /// A seed.
    Seed,
    /// A snapshot.
    Snapshot,
    /// A data test or unit test.
    Test,
    /// A source.
    Source,
    /// Anything else (operations, exports).
    Other,
}

impl Kind {
    /// Kind of its row in the run.
    pub const fn item(self) -> &'static str {
        match self {
            Self::Model => "dbt_model",
            Self::Seed => "dbt_seed",
            Self::Snapshot => "dbt_snapshot",
            Self::Test => "dbt_test",
            Self::Source => "dbt_source",
            Self::Other => "dbt_node",
        }
    }
}

/// How a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Built, or passed.
    Ok,
    /// A test that failed with severity `warn`.
    Warned,
    /// A test that failed, or a node with an error.
    Failed,
    /// Left out because of something before it.
    Skipped,
    /// Built, or passed, by an earlier attempt of the same task run, and not run again.
    Reused,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Node {
    /// dbt's id.
    #[serde(skip)]
    id: String,
    /// Name without project and kind.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// How it ended.
    pub status: Status,
    /// dbt's own word: `success`, `pass`, `warn`, `fail`, `error`, `skipped`; `reused` for what an earlier attempt did.
    pub word: String,
    /// Seconds it took.
    pub seconds: f64,
    /// Rows written, or rows that failed a test, where the warehouse tells.
    pub rows: Option<u64>,
    /// What dbt said of it.
    pub message: Option<String>,
}

/// Nodes of one kind by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counts {
    /// All.
    pub total: u64,
    /// Built, or passed; also by an earlier attempt.
    pub ok: u64,
    /// Those of them that an earlier attempt had done, so that they were not run again.
    pub reused: u64,
    /// Warned.
    pub warned: u64,
    /// Failed.
    pub failed: u64,
    /// Skipped.
    pub skipped: u64,
}

/// What a call of dbt did.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Output {
    /// Models.
    pub models: Counts,
    /// Seeds.
    pub seeds: Counts,
    /// Snapshots.
    pub snapshots: Counts,
    /// Data tests and unit tests.
    pub tests: Counts,
    /// Seconds that dbt took.
    pub elapsed_s: f64,
    /// Nodes, those that did not end well first; at most 150.
    pub nodes: Vec<Node>,
    /// Nodes that are not listed.
    pub nodes_left_out: u64,
    /// File of the DuckDB warehouse, relative to the project; null if the connection has no `duckdb_path`.
    pub database: Option<String>,
}

/// All nodes of one call.
#[derive(Debug)]
pub struct Results {
    nodes: Vec<Node>,
    elapsed_s: f64,
    database: Option<String>,
}

impl Results {
    /// Reads the artefact.
    ///
    /// # Errors
    /// `fail` `BadArtefact`.
    pub fn parse(text: &[u8]) -> Result<Self, TaskError> {
        let artefact: Artefact = serde_json::from_slice(text).map_err(|error| unreadable(&error))?;
        let nodes = artefact.results.into_iter().map(node).collect::<Result<_, _>>()?;
        Ok(Self { nodes, elapsed_s: (artefact.elapsed_time * 1000.0).round() / 1000.0, database: None })
    }

    /// Adds what earlier attempts did and this one did not run again.
    ///
    /// # Errors
    /// As [`Results::parse`].
    pub fn add_earlier(&mut self, text: &[u8]) -> Result<(), TaskError> {
        let known: BTreeSet<String> = self.nodes.iter().map(|node| node.id.clone()).collect();
        for mut node in Self::parse(text)?.nodes.into_iter().filter(|node| !known.contains(&node.id)) {
            if node.status == Status::Ok {
                node.status = Status::Reused;
                "reused".clone_into(&mut node.word);
            }
            self.nodes.push(node);
        }
        Ok(())
    }

    /// Whether dbt finds nodes here to run again. Hooks are none: they belong to each call.
    pub fn is_retryable(&self) -> bool {
        let again = |status| matches!(status, Status::Failed | Status::Skipped);
        self.nodes.iter().any(|node| !node.id.starts_with("operation.") && (again(node.status) || node.word == PARTIAL))
    }

    /// Number of nodes.
    pub fn len(&self) -> u64 {
        self.nodes.len() as u64
    }

    /// The same, built in this file.
    pub fn of_database(mut self, file: Option<String>) -> Self {
        self.database = file;
        self
    }

    /// Nodes of these kinds by how they ended.
    pub fn count(&self, kind: Kind) -> Counts {
        let mut counts = Counts::default();
        for node in self.nodes.iter().filter(|node| node.kind == kind) {
            counts.total += 1;
            match node.status {
                Status::Ok => counts.ok += 1,
                Status::Reused => (counts.ok, counts.reused) = (counts.ok + 1, counts.reused + 1),
                Status::Warned => counts.warned += 1,
                Status::Failed => counts.failed += 1,
                Status::Skipped => counts.skipped += 1,
            }
        }
        counts
    }

    /// What failed nodes of a kind said, for a message.
    pub fn failures(&self, of: impl Fn(Kind) -> bool) -> Vec<String> {
        let failed = |node: &&Node| node.status == Status::Failed && of(node.kind);
        self.nodes
            .iter()
            .filter(failed)
            .map(|node| {
                let said = node.message.as_deref().unwrap_or(&node.word);
                format!("{}: {}", node.name, bounded(said, 500))
            })
            .collect()
    }

    /// The message of a node that failed only because another process holds the warehouse.
    pub fn locked(&self) -> Option<&str> {
        self.nodes
            .iter()
            .filter(|node| node.status == Status::Failed)
            .find_map(|node| node.message.as_deref().filter(|message| is_lock(&message.to_lowercase())))
    }

    /// A row for each node.
    pub fn items(&self) -> impl Iterator<Item = TaskItem> {
        self.nodes.iter().map(|node| TaskItem {
            kind: node.kind.item().to_owned(),
            name: node.name.clone(),
            state: node.word.clone(),
            seconds: Some(node.seconds),
            #[expect(clippy::cast_precision_loss, reason = "row counts far below 2^53")]
            value: node.rows.map(|rows| rows as f64),
            message: node.message.as_deref().map(|message| bounded(message, 2_000)),
        })
    }

    /// The bounded output.
    pub fn output(&self) -> Output {
        let mut nodes: Vec<Node> = self.nodes.clone();
        let rank = |node: &Node| match node.status {
            Status::Failed => 0,
            Status::Warned => 1,
            Status::Skipped => 2,
            Status::Ok => 3,
            Status::Reused => 4,
        };
        // dbt lists nodes as its threads finish: by name, equal runs have equal outputs.
        nodes.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name)));
        let left_out = nodes.len().saturating_sub(LISTED);
        nodes.truncate(LISTED);
        for node in &mut nodes {
            // What went well needs no words; what did not is told whole in its row and log.
            node.message = node
                .message
                .take()
                .filter(|_| !matches!(node.status, Status::Ok | Status::Reused))
                .map(|text| bounded(&text, 150));
        }
        Output {
            models: self.count(Kind::Model),
            seeds: self.count(Kind::Seed),
            snapshots: self.count(Kind::Snapshot),
            tests: self.count(Kind::Test),
            elapsed_s: self.elapsed_s,
            nodes,
            nodes_left_out: left_out as u64,
            database: self.database.clone(),
        }
    }
}

fn unreadable(error: &serde_json::Error) -> TaskError {
    TaskError::fail("BadArtefact", format!("run_results.json does not read: {error}"))
}

/// An artefact for the next attempt: `text` with the nodes of `earlier` that it does not have, and the arguments of the first call,
/// since dbt takes what to repeat from there.
///
/// # Errors
/// `fail` `BadArtefact`.
pub fn merged(text: &[u8], earlier: Option<&[u8]>) -> Result<Value, TaskError> {
    let read = |text: &[u8]| serde_json::from_slice::<Value>(text).map_err(|error| unreadable(&error));
    let mut artefact = read(text)?;
    let Some(earlier) = earlier else { return Ok(artefact) };
    let mut earlier = read(earlier)?;
    artefact["args"] = earlier["args"].take();
    let (Value::Array(ours), Value::Array(theirs)) = (&mut artefact["results"], earlier["results"].take()) else {
        return Ok(artefact);
    };
    let known: BTreeSet<String> =
        ours.iter().filter_map(|node| node["unique_id"].as_str().map(str::to_owned)).collect();
    ours.extend(theirs.into_iter().filter(|node| !node["unique_id"].as_str().is_some_and(|id| known.contains(id))));
    Ok(artefact)
}

impl Node {
    /// Kind and short name of a node by its id.
    pub fn named(id: &str) -> (Kind, String) {
        let mut parts = id.splitn(3, '.');
        let kind = match parts.next() {
            Some("model") => Kind::Model,
            Some("seed") => Kind::Seed,
            Some("snapshot") => Kind::Snapshot,
            Some("test" | "unit_test") => Kind::Test,
            Some("source") => Kind::Source,
            Some(_) | None => Kind::Other,
        };
        let name = parts.nth(1).unwrap_or(id);
        // A data test's id ends in a hash of ten digits.
        let name = match name.rsplit_once('.') {
            Some((name, hash)) if kind == Kind::Test && hash.len() == 10 => name,
            Some(_) | None => name,
        };
        (kind, name.to_owned())
    }
}

fn node(raw: RawNode) -> Result<Node, TaskError> {
    let (kind, name) = Node::named(&raw.unique_id);
    let status = match raw.status.as_str() {
        "success" | "pass" | "no-op" => Status::Ok,
        "warn" | PARTIAL => Status::Warned,
        "fail" | "error" | "runtime error" => Status::Failed,
        "skipped" => Status::Skipped,
        other => {
            return Err(TaskError::fail(
                "BadArtefact",
                format!("{}: unknown status `{other}` in run_results.json", raw.unique_id),
            ));
        }
    };
    let written = raw.adapter_response.get("rows_affected").and_then(Value::as_u64);
    Ok(Node {
        id: raw.unique_id,
        name,
        kind,
        status,
        word: raw.status,
        seconds: (raw.execution_time * 1000.0).round() / 1000.0,
        rows: if kind == Kind::Test { raw.failures } else { written },
        message: raw.message,
    })
}

/// Whether an error (in lower case) says that another process holds the warehouse.
pub fn is_lock(lower: &str) -> bool {
    lower.contains("could not set lock on file")
        || lower.contains("database is locked")
        || lower.contains("conflicting lock")
}

/// A text of at most so many bytes.
pub fn bounded(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(bytes)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn results(nodes: Value) -> Results {
        Results::parse(json!({ "elapsed_time": 1.23456, "results": nodes }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn nodes_are_named_counted_and_bounded() {
        let results = results(json!([
            { "unique_id": "model.opensky.dim_countries", "status": "success", "execution_time": 0.5, "adapter_response": { "rows_affected": 7 } },
            { "unique_id": "test.opensky.not_null_a_icao24.1a2b3c4d5e", "status": "fail", "failures": 2, "message": "Got 2 results, configured to fail if != 0" },
            { "unique_id": "unit_test.opensky.model.bands", "status": "pass" },
            { "unique_id": "test.opensky.warns.0000000000", "status": "warn", "failures": 1 },
            { "unique_id": "seed.opensky.countries", "status": "skipped" },
        ]));
        assert_eq!(results.count(Kind::Model), Counts { total: 1, ok: 1, ..Counts::default() });
        assert_eq!(results.count(Kind::Test), Counts { total: 3, ok: 1, warned: 1, failed: 1, ..Counts::default() });
        assert_eq!(
            results.failures(|kind| kind == Kind::Test),
            ["not_null_a_icao24: Got 2 results, configured to fail if != 0"]
        );
        let output = results.output();
        assert_eq!((output.nodes[0].name.as_str(), output.nodes[0].rows), ("not_null_a_icao24", Some(2)));
        assert!((output.elapsed_s - 1.235).abs() < 1e-9);
        let kinds: Vec<String> = results.items().map(|item| item.kind).collect();
        assert_eq!(kinds, ["dbt_model", "dbt_test", "dbt_test", "dbt_test", "dbt_seed"]);
    }

    #[test]
    fn ten_thousand_nodes_fit_an_output() {
        let nodes: Vec<Value> = (0..10_000)
            .map(|n| json!({ "unique_id": format!("test.p.{}_{n}.1234567890", "x".repeat(60)), "status": "error", "message": "e".repeat(5_000) }))
            .collect();
        let output = results(Value::Array(nodes)).output();
        assert_eq!(output.nodes_left_out, 9_850);
        assert!(serde_json::to_vec(&output).unwrap().len() < 48 * 1024);
    }

    #[test]
    fn an_unknown_status_is_not_taken_for_a_success() {
        let text = json!({ "results": [{ "unique_id": "model.p.a", "status": "marvellous" }] }).to_string();
        assert_eq!(Results::parse(text.as_bytes()).unwrap_err().class(), "BadArtefact");
    }
}
