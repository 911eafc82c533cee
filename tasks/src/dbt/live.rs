//! What dbt says while it runs: its JSON log becomes readable lines, and the start and end of each node are shown at once.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Deserialize;
use updraft_task::{Context, Level, Output as Stream, TaskItem};

use super::results::{Node, bounded};

/// Last error lines that are kept for the message.
const KEPT_ERRORS: usize = 5;

/// A line of dbt's JSON log, as far as it is used.
#[derive(Deserialize)]
struct LogLine {
    info: LogInfo,
    #[serde(default)]
    data: LogData,
}

#[derive(Deserialize)]
struct LogInfo {
    name: String,
    level: String,
    msg: String,
}

#[derive(Deserialize, Default)]
struct LogData {
    #[serde(default)]
    node_info: NodeInfo,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    execution_time: Option<f64>,
    #[serde(default)]
    total: Option<u64>,
}

#[derive(Deserialize, Default)]
struct NodeInfo {
    #[serde(default)]
    unique_id: Option<String>,
    #[serde(default)]
    node_status: Option<String>,
}

/// A node that has begun.
struct Begun {
    at: Instant,
    item: TaskItem,
    ended: bool,
}

/// What was seen so far.
#[derive(Default)]
pub struct Live {
    nodes: BTreeMap<String, Begun>,
    ended: u64,
    total: Option<u64>,
    errors: Vec<String>,
}

impl Live {
    /// Takes a line of output: it goes to the log, a node's start and end to the task's progress, errors are kept for a message.
    pub fn heard(&mut self, ctx: &Context, stream: Stream, line: &str) {
        let Ok(parsed) = serde_json::from_str::<LogLine>(line) else {
            // Not JSON: a traceback, or the interpreter's own words.
            ctx.log_child(stream, if stream == Stream::Stderr { Level::Warn } else { Level::Info }, line);
            if stream == Stream::Stderr {
                self.remember(line);
            }
            return;
        };
        self.node(ctx, &parsed);
        let message = parsed.info.msg.trim();
        if message.is_empty() {
            return;
        }
        let level = match parsed.info.level.as_str() {
            "error" => Level::Error,
            "warn" => Level::Warn,
            "debug" => Level::Debug,
            _ => Level::Info,
        };
        if level == Level::Error {
            self.remember(message);
        }
        for line in message.lines() {
            ctx.log_child(stream, level, line);
        }
    }

    /// `LogStartLine` begins a node; `LogModelResult`, `LogTestResult`, …, and `SkippingDetails` end it.
    fn node(&mut self, ctx: &Context, line: &LogLine) {
        let LogData { node_info, status, execution_time, total } = &line.data;
        let Some(id) = &node_info.unique_id else { return };
        let name = line.info.name.as_str();
        let begins = name == "LogStartLine";
        let ends = name == "SkippingDetails" || name.starts_with("Log") && name.ends_with("Result");
        if !begins && !ends {
            return;
        }
        self.total = total.or(self.total);
        let begun = self.nodes.entry(id.clone()).or_insert_with(|| {
            let (kind, name) = Node::named(id);
            let item = TaskItem {
                kind: kind.item().to_owned(),
                name,
                state: "running".to_owned(),
                seconds: None,
                value: None,
                message: None,
            };
            Begun { at: Instant::now(), item, ended: false }
        });
        if !begins && !begun.ended {
            begun.ended = true;
            self.ended += 1;
            // A model's status is the warehouse's word (`SELECT 5`), a test's node has none.
            let word = node_info.node_status.as_ref().filter(|word| !word.is_empty()).or(status.as_ref());
            begun.item.state = word.cloned().unwrap_or_else(|| "unknown".to_owned());
            begun.item.seconds = Some(execution_time.unwrap_or_default());
        }
        ctx.live_item(&begun.item);
        ctx.progress(self.ended, self.total, "nodes");
    }

    fn remember(&mut self, line: &str) {
        if self.errors.len() == KEPT_ERRORS {
            self.errors.remove(0);
        }
        self.errors.push(bounded(line, 1_000));
    }

    /// The last errors, for a message.
    pub fn errors(&self) -> String {
        self.errors.join("\n")
    }

    /// The nodes that ended otherwise than in one of these words.
    pub fn but(&self, words: &[&str]) -> impl Iterator<Item = &TaskItem> {
        self.nodes.values().map(|node| &node.item).filter(|item| !words.contains(&item.state.as_str()))
    }

    /// Records what was seen, where dbt left no artefact that tells it better: nodes that had not ended were interrupted.
    pub fn record(self, ctx: &Context) {
        for Begun { at, mut item, ended } in self.nodes.into_values() {
            if !ended {
                "interrupted".clone_into(&mut item.state);
                item.seconds = Some(at.elapsed().as_secs_f64());
            }
            ctx.record_item(item);
        }
    }
}
