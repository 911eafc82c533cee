//! Workflows to plant: the same content as a file for people and as the compiled form that the store keeps.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use updraft_model::graph::Compiled;
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;
use updraft_store::scheduling::ScheduledVersion;
use updraft_store::{NewVersion, Published, Store};

/// A task to plant.
#[derive(Debug, Clone)]
pub struct Task {
    id: String,
    argv: Option<String>,
    depends_on: Vec<String>,
    rule: Option<&'static str>,
    allow_failure: bool,
    retries: u32,
}

impl Task {
    /// A task that does nothing.
    pub fn noop(id: impl Into<String>, depends_on: &[&str]) -> Self {
        Self {
            id: id.into(),
            argv: None,
            depends_on: depends_on.iter().map(|&id| id.to_owned()).collect(),
            rule: None,
            allow_failure: false,
            retries: 0,
        }
    }

    /// A task that runs a line of shell.
    pub fn shell(id: impl Into<String>, depends_on: &[&str], line: &str) -> Self {
        Self { argv: Some(line.to_owned()), ..Self::noop(id, depends_on) }
    }

    /// With this trigger rule.
    #[must_use]
    pub fn rule(self, rule: &'static str) -> Self {
        Self { rule: Some(rule), ..self }
    }

    /// Its failure does not count.
    #[must_use]
    pub fn excused(self) -> Self {
        Self { allow_failure: true, ..self }
    }

    /// With so many tries after the first.
    #[must_use]
    pub fn retries(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    fn compiled(&self) -> Value {
        let mut task = Map::new();
        task.insert("id".to_owned(), json!(self.id));
        match &self.argv {
            None => task.insert("type".to_owned(), json!("noop")),
            Some(argv) => {
                task.insert("with".to_owned(), json!({ "argv": argv, "shell": true }));
                task.insert("type".to_owned(), json!("command"))
            }
        };
        if !self.depends_on.is_empty() {
            task.insert("depends_on".to_owned(), json!(self.depends_on));
        }
        if let Some(rule) = self.rule {
            task.insert("trigger_rule".to_owned(), json!(rule));
        }
        if self.allow_failure {
            task.insert("allow_failure".to_owned(), json!(true));
        }
        if self.retries > 0 {
            let retry = json!({ "limit": self.retries, "delay": "20s", "backoff": "exponential", "factor": 2.0,
                "max_delay": "10m", "jitter": 0.0 });
            task.insert("retry".to_owned(), retry);
        }
        Value::Object(task)
    }

    fn yaml(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n  - id: {}", self.id)?;
        writeln!(out, "    type: {}", if self.argv.is_some() { "command" } else { "noop" })?;
        if !self.depends_on.is_empty() {
            writeln!(out, "    depends_on: [{}]", self.depends_on.join(", "))?;
        }
        if let Some(rule) = self.rule {
            writeln!(out, "    trigger_rule: {rule}")?;
        }
        if self.allow_failure {
            writeln!(out, "    allow_failure: true")?;
        }
        if self.retries > 0 {
            writeln!(out, "    retry: {{limit: {}, delay: 20s, jitter: 0}}", self.retries)?;
        }
        if let Some(argv) = &self.argv {
            writeln!(out, "    with:\n      argv: {}\n      shell: true", json!(argv))?;
        }
        Ok(())
    }
}

/// A workflow to plant.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its name.
    pub id: String,
    /// What it is for.
    pub description: String,
    /// Who answers for it.
    pub owner: String,
    /// Labels.
    pub tags: Vec<String>,
    /// Cron pattern and zone.
    pub cron: Option<(String, String)>,
    /// Paused when it is published first.
    pub paused: bool,
    /// Task runs of one run at one time.
    pub max_active_tasks: Option<u32>,
    /// Parameters: name → JSON Schema.
    pub params: Value,
    /// Its tasks.
    pub tasks: Vec<Task>,
}

impl Draft {
    /// A workflow without a schedule.
    pub fn new(id: &str, description: &str, owner: &str, tags: &[&str], tasks: Vec<Task>) -> Self {
        Self {
            id: id.to_owned(),
            description: description.to_owned(),
            owner: owner.to_owned(),
            tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
            cron: None,
            paused: false,
            max_active_tasks: None,
            params: json!({}),
            tasks,
        }
    }

    /// With a cron schedule.
    #[must_use]
    pub fn cron(self, pattern: &str, zone: &str) -> Self {
        Self { cron: Some((pattern.to_owned(), zone.to_owned())), ..self }
    }

    /// The file that says the same.
    pub fn yaml(&self) -> String {
        let mut out = String::new();
        // Writing into text cannot fail.
        let _ = self.write_yaml(&mut out);
        out
    }

    fn write_yaml(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "id: {}\ndescription: {}\nowner: {}", self.id, json!(self.description), json!(self.owner))?;
        if !self.tags.is_empty() {
            writeln!(out, "tags: [{}]", self.tags.join(", "))?;
        }
        if let Some((pattern, zone)) = &self.cron {
            writeln!(out, "schedule:\n  cron: {}\n  timezone: {zone}", json!(pattern))?;
        }
        if self.paused {
            writeln!(out, "paused: true")?;
        }
        if let Some(limit) = self.max_active_tasks {
            writeln!(out, "max_active_tasks: {limit}")?;
        }
        if self.params.as_object().is_some_and(|params| !params.is_empty()) {
            writeln!(out, "params: {}", self.params)?;
        }
        writeln!(out, "tasks:")?;
        self.tasks.iter().try_for_each(|task| task.yaml(out))
    }

    /// As the model has it.
    ///
    /// # Errors
    /// It is no workflow.
    pub fn workflow(&self) -> Result<Workflow> {
        let mut whole = json!({
            "id": self.id, "description": self.description, "owner": self.owner, "tags": self.tags,
            "max_active_runs": Workflow::DEFAULT_MAX_ACTIVE_RUNS,
            "tasks": self.tasks.iter().map(Task::compiled).collect::<Vec<_>>(),
        });
        if let (Some(map), Some((pattern, zone))) = (whole.as_object_mut(), &self.cron) {
            map.insert("schedule".to_owned(), json!({ "cron": { "patterns": [pattern], "timezone": zone } }));
        }
        if let Some(map) = whole.as_object_mut() {
            if self.paused {
                map.insert("paused".to_owned(), json!(true));
            }
            if let Some(limit) = self.max_active_tasks {
                map.insert("max_active_tasks".to_owned(), json!(limit));
            }
            if self.params.as_object().is_some_and(|params| !params.is_empty()) {
                map.insert("params".to_owned(), self.params.clone());
            }
        }
        serde_json::from_value(whole).with_context(|| format!("workflow `{}` cannot be planted", self.id))
    }

    /// Publishes it; what it is published as, and its graph.
    ///
    /// # Errors
    /// It is no workflow, or the store fails.
    pub async fn publish(&self, store: &dyn Store, at: Timestamp) -> Result<Planted> {
        let ScheduledVersion { version, workflow, .. } = self.version()?;
        let published = store.publish(&version, at).await?;
        let compiled = Compiled::new(workflow).map_err(|error| anyhow::anyhow!("`{}`: {error}", self.id))?;
        Ok(Planted { published, compiled: Arc::new(compiled) })
    }

    /// What a catalog would publish, of no folder.
    ///
    /// # Errors
    /// It is no workflow.
    pub fn version(&self) -> Result<ScheduledVersion> {
        let workflow = self.workflow()?;
        let source = self.yaml();
        let digest = Sha256::digest(source.as_bytes());
        let sha256 = digest.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let version = NewVersion {
            workflow: self.id.clone(),
            sha256,
            source,
            path: format!("workflows/{}.yaml", self.id),
            compiled: serde_json::to_string(&workflow)?,
        };
        Ok(ScheduledVersion { version, workflow, source: String::new() })
    }
}

/// A published workflow.
#[derive(Debug, Clone)]
pub struct Planted {
    /// Its numbers.
    pub published: Published,
    /// Its graph.
    pub compiled: Arc<Compiled>,
}
