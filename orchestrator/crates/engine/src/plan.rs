//! What can be known of a workflow version's tasks before any run: which parameters hold templates, and which upstream
//! outputs those read.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use updraft_model::graph::{Compiled, TaskIndex};
use updraft_model::workflow::Task;
use updraft_spec::template::{StepKind, Template, is_template};

/// See the module.
pub(crate) struct Plan {
    pub compiled: Arc<Compiled>,
    tasks: Vec<TaskPlan>,
    reads_outputs: bool,
}

/// About one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskPlan {
    /// Something must be rendered.
    pub templated: bool,
    /// Tasks whose state or output templates read.
    pub reads: Vec<TaskIndex>,
}

impl Plan {
    pub(crate) fn new(compiled: Arc<Compiled>) -> Self {
        let tasks: Vec<_> = compiled.workflow.tasks.iter().map(|task| TaskPlan::of(&compiled, task)).collect();
        let reads_outputs = tasks.iter().any(|task| !task.reads.is_empty());
        Self { compiled, tasks, reads_outputs }
    }

    /// Whether any task reads an output of another.
    pub(crate) fn reads_outputs(&self) -> bool {
        self.reads_outputs
    }

    pub(crate) fn task(&self, task: TaskIndex) -> &TaskPlan {
        &self.tasks[task as usize]
    }
}

impl TaskPlan {
    fn of(compiled: &Compiled, task: &Task) -> Self {
        let mut texts = Vec::new();
        for value in task.with.values() {
            collect(value, &mut texts);
        }
        texts.extend(task.when.as_deref());
        collect_env(&task.env, &mut texts);
        collect_env(&compiled.workflow.env, &mut texts);
        let mut reads = Vec::new();
        let mut reads_all = false;
        for text in &texts {
            // A text that does not parse is reported when it is rendered.
            let Ok(template) = Template::parse(text) else { continue };
            for reference in template.references() {
                if reference.root != "tasks" {
                    continue;
                }
                let named = match reference.steps.first().map(|step| &step.kind) {
                    Some(StepKind::Key(name)) => Some(name.as_str()),
                    Some(_) | None => None,
                };
                match named.and_then(|id| compiled.graph.position(id)) {
                    Some(index) if !reads.contains(&index) => reads.push(index),
                    Some(_) => {}
                    None => reads_all = true,
                }
            }
        }
        if reads_all && let Some(own) = compiled.graph.position(task.id.as_str()) {
            let upstream = compiled.graph.upstream_closure([own]);
            reads = compiled.graph.indices().filter(|&index| index != own && upstream[index as usize]).collect();
        }
        Self { templated: !texts.is_empty(), reads }
    }
}

fn collect<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => {
            if is_template(text) {
                texts.push(text);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(map) => map.values().for_each(|item| collect(item, texts)),
    }
}

fn collect_env<'a>(env: &'a BTreeMap<String, String>, texts: &mut Vec<&'a str>) {
    texts.extend(env.values().map(String::as_str).filter(|text| is_template(text)));
}
