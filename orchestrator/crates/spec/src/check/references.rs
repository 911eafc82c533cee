//! What templates read: every name, task, field and type, checked before anything runs.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::Cx;
use super::graph::Graph;
use super::types::{Schema, Types, describe};
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::suggest::nearest;
use crate::template::{NAMES, Name, Reference, StepKind, Template, TemplateErrorKind};
use crate::yaml::{Kind, Node};

/// One JSON Schema per name of the context that does not depend on the file.
static FIXED: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let schema = |name: &Name| {
        if name.fields.is_empty() {
            return json!({ "type": name.kind });
        }
        closed(name.fields.iter().map(|(field, kind, _)| ((*field).to_owned(), json!({ "type": kind }))).collect())
    };
    NAMES.iter().map(|name| (name.written.to_owned(), schema(name))).collect()
});

/// The names that templates of one file can read.
pub(crate) struct Names<'f> {
    /// The JSON Schemas of `params`, `vars` and `env`.
    roots: Map<String, Value>,
    /// Task types in file order.
    pub(crate) types: Vec<Option<&'f str>>,
    pub(crate) graph: &'f Graph,
}

/// Where a template stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a task, by its index.
    Task(usize),
    /// In the file's `env`: rendered before any task is known.
    Env,
    /// In `defaults`: rendered for every task, whatever its upstreams.
    Defaults,
}

impl<'f> Names<'f> {
    pub(crate) fn new(
        params: &Map<String, Value>,
        vars: &Map<String, Value>,
        env: impl Iterator<Item = String>,
        types: Vec<Option<&'f str>>,
        graph: &'f Graph,
    ) -> Self {
        let mut roots = Map::new();
        roots.insert("params".to_owned(), closed(params.clone()));
        roots.insert("vars".to_owned(), schema_of(&Value::Object(vars.clone())));
        roots.insert("env".to_owned(), closed(env.map(|name| (name, json!({ "type": "string" }))).collect()));
        Self { roots, types, graph }
    }
}

fn closed(properties: Map<String, Value>) -> Value {
    let properties = Value::Object(properties);
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

/// The schema of a constant.
fn schema_of(value: &Value) -> Value {
    match value {
        Value::Object(map) => closed(map.iter().map(|(key, value)| (key.clone(), schema_of(value))).collect()),
        other => json!({ "type": super::types::type_of(other) }),
    }
}

/// Checks the template in a scalar; the types that it can render to, if something is known of them.
pub(crate) fn check(cx: &mut Cx<'_>, names: &Names<'_>, place: Place, node: &Node) -> Types {
    let Kind::Scalar { text, .. } = &node.kind else { return Types::new() };
    let (template, problems) = match Template::problems(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            let span = error.range.clone().map_or(node.span, |range| cx.place(node, range));
            let message = format!("this template cannot be parsed: {}", error.message);
            let found = Diagnostic::new(Code::W401, span, message);
            cx.push(
                node.locate(found).hint("an expression is `{{ name }}`; braces that are meant as text: `{{ '{{' }}`"),
            );
            return Types::new();
        }
    };
    for problem in problems {
        let span = problem.range.clone().map_or(node.span, |range| cx.place(node, range));
        let code = if problem.kind == TemplateErrorKind::Unknown { Code::W402 } else { Code::W401 };
        let mut found = Diagnostic::new(code, span, problem.message).hint_if(problem.hint);
        if let Some(suggestion) = problem.suggestion {
            found = found.replace(span, suggestion);
        }
        cx.push(node.locate(found));
    }
    let mut sole = Types::new();
    for reference in template.references() {
        let types = reference_types(cx, names, place, node, reference);
        if template.sole_reference() == Some(reference) {
            sole = types;
        }
    }
    if template.is_expression() { sole } else { Types::from(["string"]) }
}

fn reference_types(cx: &mut Cx<'_>, names: &Names<'_>, place: Place, node: &Node, reference: &Reference) -> Types {
    let root_span = cx.place(node, reference.root_range.clone());
    let hidden = match place {
        Place::Task(_) => None,
        Place::Env => {
            matches!(reference.root.as_str(), "tasks" | "task" | "env").then_some("the file's `env` is rendered")
        }
        Place::Defaults => (reference.root == "tasks").then_some("`defaults` are read"),
    };
    if let Some(when) = hidden {
        let message = format!("`{}` is not known yet when {when}", reference.root);
        let found = Diagnostic::new(Code::W403, root_span, message);
        cx.push(node.locate(found).hint("write it into the `env` or `with` of the task"));
        return Types::new();
    }
    if reference.root == "tasks" {
        return task_types(cx, names, place, node, reference);
    }
    let Some(schema) = names.roots.get(&reference.root).or_else(|| FIXED.get(&reference.root)) else {
        unknown_name(cx, names, node, reference, root_span);
        return Types::new();
    };
    let schema = Schema::of(schema);
    match schema.walk(&reference.steps) {
        Ok(found) => found.map(Schema::types).unwrap_or_default(),
        Err((0, known, _)) if matches!(reference.root.as_str(), "params" | "vars" | "env") => {
            let step = &reference.steps[0];
            let (StepKind::Key(name), span) = (&step.kind, key_span(cx, node, step)) else { return Types::new() };
            let message = format!("there is no `{}` in `{}`", cx.short(name), reference.root);
            let mut found = Diagnostic::new(Code::W408, span, message);
            found = if known.is_empty() {
                found.hint(format!("declare it under `{}:`", reference.root))
            } else {
                found.hint(format!("there are: {}", known.join(", ")))
            };
            cx.push(node.locate(found.did_you_mean(nearest(name, known))));
            Types::new()
        }
        Err((index, known, types)) => {
            no_field(cx, node, reference, index, known, &types);
            Types::new()
        }
    }
}

fn unknown_name(cx: &mut Cx<'_>, names: &Names<'_>, node: &Node, reference: &Reference, span: Span) {
    let root = reference.root.as_str();
    let elsewhere = match root {
        "dag" | "flow" => Some("write `workflow`"),
        "dag_run" | "execution" => Some("write `run`"),
        "ti" | "task_instance" => Some("write `task`, and `tasks.ID.output` for what Airflow gives by XCom"),
        "var" => Some("write `vars.NAME`"),
        "conn" | "connection" => {
            Some("a task names its connection with `conn:`; its fields are not shown to templates")
        }
        "secret" | "secrets" => Some("secrets never pass through templates: a task names its connection with `conn:`"),
        "macros" => Some("use filters, or compute the value in a task"),
        "execution_date" => Some("write `logical_date`"),
        "next_ds" | "tomorrow_ds" | "yesterday_ds" | "prev_ds" => {
            Some("write `data_interval_start` or `data_interval_end`")
        }
        "item" | "matrix" => Some("mapping comes in a later version"),
        "inputs" => Some("write `params`"),
        "outputs" => Some("write `tasks.ID.output`"),
        "trigger" => Some("write `run.trigger`"),
        "now" | "today" => Some("a run has a fixed date: write `logical_date`"),
        _ => None,
    };
    let message = format!("templates know no name `{}`", cx.short(root));
    let mut found = Diagnostic::new(Code::W403, span, message);
    let known: Vec<&str> = NAMES.iter().map(|name| name.written).collect();
    found = found.hint(match elsewhere {
        Some(advice) => advice.to_owned(),
        None => format!("there are: {}", known.join(", ")),
    });
    let declared = ["params", "vars"].iter().find(|group| {
        names.roots.get(**group).and_then(|schema| schema.pointer(&format!("/properties/{root}"))).is_some()
    });
    if let Some(group) = declared {
        found = found.did_you_mean(Some(&format!("{group}.{root}")));
    } else if elsewhere.is_none() {
        found = found.did_you_mean(nearest(root, known));
    }
    cx.push(node.locate(found));
}

fn task_types(cx: &mut Cx<'_>, names: &Names<'_>, place: Place, node: &Node, reference: &Reference) -> Types {
    let (Some(first), Place::Task(this)) = (reference.steps.first(), place) else {
        if matches!(place, Place::Task(_)) {
            let span = cx.place(node, reference.range.clone());
            let found = Diagnostic::new(Code::W404, span, "`tasks` needs the name of a task");
            cx.push(node.locate(found.hint("write `tasks.ID.output`")));
        }
        return Types::new();
    };
    let span = key_span(cx, node, first);
    let StepKind::Key(id) = &first.kind else {
        let found = Diagnostic::new(Code::W404, span, "a task must be named literally, so that it can be checked");
        cx.push(node.locate(found.hint("write `tasks.ID.output` or `tasks['ID'].output`")));
        return Types::new();
    };
    let Some(other) = names.graph.index(id) else {
        let found = Diagnostic::new(Code::W404, span, format!("there is no task `{}`", cx.short(id)));
        cx.push(node.locate(found.did_you_mean(nearest(id, names.graph.ids()))));
        return Types::new();
    };
    if other == this {
        let found = Diagnostic::new(Code::W405, span, format!("task `{id}` reads its own output"));
        cx.push(node.locate(found.hint("a task can read the outputs of tasks that run before it")));
        return Types::new();
    }
    if !names.graph.is_upstream(other, this) {
        let name = names.graph.id(this).unwrap_or_default();
        let message = format!("task `{id}` does not run before `{name}`, so it has no output yet");
        let mut found = Diagnostic::new(Code::W405, span, message);
        found = if names.graph.is_upstream(this, other) {
            found.hint(format!("`{id}` runs after `{name}`"))
        } else {
            found.hint(format!("add `{id}` to `depends_on` of `{name}`"))
        };
        if let Some(at) = names.graph.id_span(other) {
            found = found.also(at, "defined here");
        }
        cx.push(node.locate(found));
        return Types::new();
    }
    let Some(field) = reference.steps.get(1) else {
        return Types::from(["object"]);
    };
    match &field.kind {
        StepKind::Key(key) if key == "state" && reference.steps.len() == 2 => Types::from(["string"]),
        StepKind::Key(key) if key == "output" => {
            let Some(spec) = names.types[other].and_then(|name| cx.catalog.task(name)) else { return Types::new() };
            match Schema::of(&spec.output).walk(&reference.steps[2..]) {
                Ok(found) => found.map(Schema::types).unwrap_or_default(),
                Err((index, known, types)) => {
                    no_field(cx, node, reference, index + 2, known, &types);
                    Types::new()
                }
            }
        }
        StepKind::Key(_) | StepKind::Index(_) | StepKind::Dynamic => {
            no_field(cx, node, reference, 1, vec!["output", "state"], &Types::new());
            Types::new()
        }
    }
}

/// "`tasks.a.output` has no field `rowz`".
fn no_field(cx: &mut Cx<'_>, node: &Node, reference: &Reference, index: usize, known: Vec<&str>, types: &Types) {
    let Kind::Scalar { text, .. } = &node.kind else { return };
    let step = &reference.steps[index];
    let before = text.get(reference.root_range.start..step.range.start).unwrap_or_default().trim_end();
    let span = key_span(cx, node, step);
    let found = match &step.kind {
        StepKind::Key(key) if types.is_empty() => {
            let message = format!("`{}` has no field `{}`", cx.short(before), cx.short(key));
            let found = Diagnostic::new(Code::W406, span, message);
            let found = if known.is_empty() { found } else { found.hint(format!("there are: {}", known.join(", "))) };
            found.did_you_mean(nearest(key, known))
        }
        StepKind::Key(_) | StepKind::Index(_) | StepKind::Dynamic => {
            let message = format!("`{}` is {}: nothing is inside it", cx.short(before), describe(types));
            Diagnostic::new(Code::W406, span, message)
        }
    };
    cx.push(node.locate(found));
}

/// The place of a step's name, without dot, brackets or quotes.
fn key_span(cx: &Cx<'_>, node: &Node, step: &crate::template::Step) -> Span {
    let Kind::Scalar { text, .. } = &node.kind else { return node.span };
    let written = text.get(step.range.clone()).unwrap_or_default();
    let name = written.trim_start_matches(['.', '[', '"', '\'', ' ']);
    let start = step.range.start + (written.len() - name.len());
    let name = name.trim_end_matches([']', '"', '\'', ' ']);
    cx.place(node, start..start + name.len())
}
