//! A workflow as written: what a file says after every check, before it is compiled into a graph.
//!
//! The serialized form of [`Workflow`] is what a workflow version stores; unknown fields are refused when it is read back.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::TaskId;
use crate::retry::RetryPolicy;
use crate::schedule::{Catchup, DataIntervalKind, Overlap, Schedule};
use crate::time::Timestamp;
use crate::trigger_rule::TriggerRule;

/// A named DAG of typed tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    /// Name, unique in a project: letters, digits, `_`, `-`, `.`; at most 200.
    pub id: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Labels for search.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// When it runs by itself; `None` = by hand only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Most by which a scheduled run is put off, so that many workflows of one cron pattern do not start at once. How much
    /// it is follows from the workflow's name and the fire.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::span::option")]
    pub jitter: Option<Duration>,
    /// No scheduled run whose logical date is before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_date: Option<Timestamp>,
    /// No scheduled run whose logical date is after this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_date: Option<Timestamp>,
    /// What to do about fires that were missed.
    #[serde(default)]
    pub catchup: Catchup,
    /// Whether a run stands for the span before its fire or for the instant itself.
    #[serde(default)]
    pub data_interval: DataIntervalKind,
    /// Runs that run at one time; further ones wait.
    pub max_active_runs: u32,
    /// What to do with a fire when that many are open.
    #[serde(default, skip_serializing_if = "Overlap::is_default")]
    pub overlap: Overlap,
    /// It is paused when it is published for the first time; afterwards the store says whether it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Task runs of one run executing at one time; `None` = no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_active_tasks: Option<u32>,
    /// Longest life of a run.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::span::option")]
    pub timeout: Option<Duration>,
    /// Parameters of a run: name → JSON Schema (with `default`).
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// Constants for templates.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub vars: Map<String, Value>,
    /// Environment of the children of all tasks; values are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The tasks in file order.
    pub tasks: Vec<Task>,
}

/// One node: a task type with its parameters and rules. `defaults` of the file are already merged in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Name, unique in the workflow.
    pub id: TaskId,
    /// Task type, such as `kafka.publish`.
    #[serde(rename = "type")]
    pub task_type: String,
    /// Parameters as written: strings may hold templates.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub with: Map<String, Value>,
    /// Named connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conn: Option<String>,
    /// Direct upstreams in file order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<TaskId>,
    /// When it may start, given its upstreams.
    #[serde(default)]
    pub trigger_rule: TriggerRule,
    /// One `{{ expression }}` that is true or false, evaluated where the task would start; false = it is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Its failure does not count towards the run's outcome.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_failure: bool,
    /// What follows a failed attempt.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// Longest life of one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::span::option")]
    pub timeout: Option<Duration>,
    /// Environment of its children, over the workflow's; values are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

impl Workflow {
    /// Default of `max_active_runs` (Airflow's).
    pub const DEFAULT_MAX_ACTIVE_RUNS: u32 = 16;
    /// Default of `max_active_tasks` (Airflow's).
    pub const DEFAULT_MAX_ACTIVE_TASKS: u32 = 16;

    /// The task of that name.
    pub fn task(&self, id: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.id.as_str() == id)
    }
}
