//! What templates can read, by Airflow's names: one table for the checks and one builder for the engine.

use std::collections::BTreeMap;

use minijinja::value::Serde;
use serde_json::{Map, Value, json};
use updraft_model::record::RunFacts;
use updraft_model::time::Timestamp;
use updraft_model::workflow::{Task, Workflow};

/// A name at the top of the context.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    /// As written in templates.
    pub written: &'static str,
    /// JSON type: `string`, `object`.
    pub kind: &'static str,
    /// What it holds.
    pub doc: &'static str,
    /// Its fields, if they are fixed: name, type, meaning.
    pub fields: &'static [(&'static str, &'static str, &'static str)],
}

const fn text(name: &'static str, doc: &'static str) -> Name {
    Name { written: name, kind: "string", doc, fields: &[] }
}

/// All of them.
pub const NAMES: &[Name] = &[
    text("ds", "logical date as `2026-01-31`"),
    text("ds_nodash", "logical date as `20260131`"),
    text("ts", "logical date as `2026-01-31T09:30:00Z`"),
    text("ts_nodash", "logical date as `20260131T093000`"),
    text("ts_nodash_with_tz", "logical date as `20260131T093000+0000`"),
    text("logical_date", "logical date, RFC 3339 in UTC"),
    text("data_interval_start", "first instant of the data interval, RFC 3339 in UTC"),
    text("data_interval_end", "first instant after the data interval, RFC 3339 in UTC"),
    Name { written: "params", kind: "object", doc: "parameters of the run", fields: &[] },
    Name { written: "vars", kind: "object", doc: "constants of the file", fields: &[] },
    Name { written: "env", kind: "object", doc: "`env` of the file, rendered", fields: &[] },
    Name {
        written: "run",
        kind: "object",
        doc: "the run",
        fields: &[
            ("id", "string", "its UUID"),
            ("key", "string", "its key, unique in the workflow"),
            ("trigger", "string", "why it exists"),
            ("logical_date", "string", "its logical date"),
            ("created_at", "string", "when it was made"),
        ],
    },
    Name {
        written: "workflow",
        kind: "object",
        doc: "the workflow",
        fields: &[
            ("id", "string", "its name"),
            ("description", "string", "its description, or null"),
            ("owner", "string", "its owner, or null"),
            ("tags", "array", "its tags"),
        ],
    },
    Name {
        written: "task",
        kind: "object",
        doc: "this task",
        fields: &[
            ("id", "string", "its name"),
            ("type", "string", "its type"),
            ("try_no", "integer", "which try this is, from 1"),
        ],
    },
    Name { written: "tasks", kind: "object", doc: "upstream tasks: `tasks.ID.output`, `tasks.ID.state`", fields: &[] },
];

/// What templates of one attempt can read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context(minijinja::Value);

impl Context {
    /// From a map of names: for tests and tools; the engine uses [`ContextBuilder`].
    pub fn from_map(names: Map<String, Value>) -> Self {
        Self(minijinja::Value::from(Serde(names)))
    }

    pub(super) fn value(&self) -> &minijinja::Value {
        &self.0
    }
}

/// Collects the facts that a [`Context`] is made of. Secrets have no place here.
#[derive(Debug, Clone)]
pub struct ContextBuilder {
    names: Map<String, Value>,
    tasks: Map<String, Value>,
}

impl ContextBuilder {
    /// The facts of a run: dates, params after defaults, constants.
    pub fn new(workflow: &Workflow, run: &RunFacts, params: &Map<String, Value>) -> Self {
        let logical = run.logical_at.to_datetime();
        let date = |format: &str| Value::String(logical.format(format).to_string());
        let instant = |at: Timestamp| Value::String(at.to_string());
        let mut names = Map::new();
        names.insert("ds".into(), date("%Y-%m-%d"));
        names.insert("ds_nodash".into(), date("%Y%m%d"));
        names.insert("ts".into(), instant(run.logical_at));
        names.insert("ts_nodash".into(), date("%Y%m%dT%H%M%S"));
        names.insert("ts_nodash_with_tz".into(), date("%Y%m%dT%H%M%S+0000"));
        names.insert("logical_date".into(), instant(run.logical_at));
        names.insert("data_interval_start".into(), instant(run.interval.start));
        names.insert("data_interval_end".into(), instant(run.interval.end));
        names.insert("params".into(), Value::Object(params.clone()));
        names.insert("vars".into(), Value::Object(workflow.vars.clone()));
        names.insert("env".into(), Value::Object(Map::new()));
        names.insert(
            "run".into(),
            json!({
                "id": run.run_id.to_string(),
                "key": run.run_key,
                "trigger": run.trigger,
                "logical_date": run.logical_at.to_string(),
                "created_at": run.created_at.to_string(),
            }),
        );
        names.insert(
            "workflow".into(),
            json!({
                "id": workflow.id,
                "description": workflow.description,
                "owner": workflow.owner,
                "tags": workflow.tags,
            }),
        );
        Self { names, tasks: Map::new() }
    }

    /// The workflow's `env` after rendering (its values cannot read `env`).
    #[must_use]
    pub fn env(mut self, env: &BTreeMap<String, String>) -> Self {
        let env = env.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
        self.names.insert("env".into(), Value::Object(env));
        self
    }

    /// The task that is about to start.
    #[must_use]
    pub fn task(mut self, task: &Task, try_no: u32) -> Self {
        let facts = json!({ "id": task.id.as_str(), "type": task.task_type, "try_no": try_no });
        self.names.insert("task".into(), facts);
        self
    }

    /// An upstream task that is over: `state` as shown (`succeeded`, `skipped`, …); without an output, reading
    /// `tasks.ID.output` is an error unless a default is given.
    #[must_use]
    pub fn upstream(mut self, id: &str, state: &str, output: Option<&Value>) -> Self {
        let mut facts = Map::new();
        facts.insert("state".into(), Value::String(state.to_owned()));
        if let Some(output) = output {
            facts.insert("output".into(), output.clone());
        }
        self.tasks.insert(id.to_owned(), Value::Object(facts));
        self
    }

    /// Done.
    pub fn build(mut self) -> Context {
        self.names.insert("tasks".into(), Value::Object(self.tasks));
        Context::from_map(self.names)
    }
}
