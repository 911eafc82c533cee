//! Entries of `tasks`, first by themselves, then against the graph and the catalog.

use std::collections::BTreeMap;
use std::time::Duration;

use updraft_model::id::TaskId;
use updraft_model::trigger_rule::TriggerRule;
use updraft_model::workflow::Task;

use super::graph::Vertex;
use super::keys::TASK;
use super::read::Fields;
use super::references::{Names, Place};
use super::retry::{self, Read};
use super::types::Schema;
use super::{Cx, with};
use crate::catalog::ConnNeed;
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::suggest::nearest;
use crate::template::{self, Template, is_template};
use crate::yaml::{Entry, Kind, Node};

/// What `defaults` gives to every task.
#[derive(Debug, Default)]
pub(crate) struct Defaults {
    pub(crate) retry: Read,
    pub(crate) timeout: Option<Duration>,
    pub(crate) env: BTreeMap<String, String>,
}

/// A task as read, before it is checked against the others.
pub(crate) struct Draft<'n> {
    pub(crate) id: Option<(String, Span)>,
    pub(crate) task_type: Option<(&'n str, &'n Node)>,
    with: Option<&'n Entry>,
    conn: Option<(&'n str, &'n Node)>,
    depends_on: Vec<(String, Span)>,
    trigger_rule: (TriggerRule, Span),
    when: Option<&'n Node>,
    allow_failure: bool,
    retry: Read,
    timeout: Option<Duration>,
    env: BTreeMap<String, String>,
    env_node: Option<&'n Node>,
    /// Where the task begins.
    start: Span,
}

/// Reads one entry.
pub(crate) fn read<'n>(cx: &mut Cx<'_>, node: &'n Node, defaults: &Defaults) -> Option<Draft<'n>> {
    let fields = Fields::read(cx, node, &TASK)?;
    let start = match &node.kind {
        Kind::Map(entries) => entries.first().map_or(node.span, |entry| entry.key_span),
        Kind::Scalar { .. } | Kind::Seq(_) | Kind::Broken => node.span,
    };
    let value = |cx: &mut Cx<'_>, key: &str| fields.get(key).filter(|entry| cx.has_value(entry));
    let id = required(cx, &fields, "id", node, start).and_then(|entry| {
        let text = cx.text(&entry.value, "`id`")?;
        check_id(cx, &entry.value, text, "a task").then(|| (text.to_owned(), entry.value.span))
    });
    let task_type = required(cx, &fields, "type", node, start)
        .and_then(|entry| cx.text(&entry.value, "`type`").map(|text| (text, &*entry.value)));
    let conn = value(cx, "conn").and_then(|entry| cx.text(&entry.value, "`conn`").map(|text| (text, &*entry.value)));
    let depends_on = value(cx, "depends_on").map(|entry| {
        let names = cx.texts(&entry.value, "`depends_on`");
        names.into_iter().map(|(name, node)| (name.to_owned(), node.used_at.unwrap_or(node.span))).collect()
    });
    let trigger_rule = value(cx, "trigger_rule").and_then(|entry| {
        let words: Vec<(&'static str, TriggerRule)> =
            TriggerRule::ALL.iter().map(|rule| (rule.name(), *rule)).collect();
        cx.choice(&entry.value, "`trigger_rule`", &words).map(|rule| (rule, entry.value.span))
    });
    let allow_failure = value(cx, "allow_failure").and_then(|entry| cx.boolean(&entry.value, "`allow_failure`"));
    let retry = retry::read(cx, fields.get("retry"), fields.get("retries"), &defaults.retry);
    let timeout = value(cx, "timeout").and_then(|entry| cx.timeout(&entry.value)).or(defaults.timeout);
    let env_node = value(cx, "env").map(|entry| &*entry.value);
    let mut env = defaults.env.clone();
    if let Some(node) = env_node {
        env.extend(environment(cx, node));
    }
    Some(Draft {
        id,
        task_type,
        with: value(cx, "with"),
        conn,
        depends_on: depends_on.unwrap_or_default(),
        trigger_rule: trigger_rule.unwrap_or((TriggerRule::default(), start)),
        when: value(cx, "when").map(|entry| &*entry.value),
        allow_failure: allow_failure.unwrap_or(false),
        retry: retry.unwrap_or_else(|| defaults.retry.clone()),
        timeout,
        env,
        env_node,
        start,
    })
}

/// The entry of a key that must be there.
pub(crate) fn required<'n>(
    cx: &mut Cx<'_>,
    fields: &Fields<'n>,
    key: &'static str,
    node: &Node,
    place: Span,
) -> Option<&'n Entry> {
    if let Some(entry) = fields.get(key) {
        return cx.has_value(entry).then_some(entry);
    }
    let example = if key == "type" { "command" } else { "my_name" };
    let found = Diagnostic::new(Code::W105, place, format!("`{key}` is missing"));
    cx.push(node.locate(found.hint(format!("write `{key}: {example}`"))));
    None
}

/// Whether a text can name a workflow or a task.
pub(crate) fn check_id(cx: &mut Cx<'_>, node: &Node, id: &str, what: &str) -> bool {
    let characters = id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let begins = id.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let reserved = id.starts_with("__");
    let reason = if id.len() > 200 {
        "it is longer than 200 characters"
    } else if !characters || !begins || id.ends_with('.') {
        "use letters, digits, `_`, `-` and `.`, beginning with a letter, a digit or `_`, not ending with `.`"
    } else if reserved {
        "names that begin with `__` are Updraft's own"
    } else {
        return true;
    };
    let found = Diagnostic::new(Code::W109, node.span, format!("`{}` cannot be the id of {what}", cx.short(id)));
    cx.push(node.locate(found.hint(reason)));
    false
}

/// Reads an `env` map: names of variables to texts, which may be templates.
pub(crate) fn environment(cx: &mut Cx<'_>, node: &Node) -> BTreeMap<String, String> {
    let Kind::Map(entries) = &node.kind else {
        cx.wrong_type(node, "`env` is a map of variable to text");
        return BTreeMap::new();
    };
    let mut env = BTreeMap::new();
    for entry in entries {
        let name = entry.key.as_str();
        if name.is_empty() || name.contains(['=', '\0', ' ']) || name.starts_with(|c: char| c.is_ascii_digit()) {
            let message = format!("`{}` cannot be the name of a variable", cx.short(name));
            cx.push(Diagnostic::new(Code::W109, entry.key_span, message).hint("use letters, digits and `_`"));
        }
        match &entry.value.kind {
            Kind::Scalar { text, .. } if !entry.value.is_null() => {
                env.insert(name.to_owned(), text.clone());
            }
            Kind::Scalar { .. } => {
                cx.has_value(entry);
            }
            Kind::Seq(_) | Kind::Map(_) | Kind::Broken => cx.wrong_type(&entry.value, "a variable is a text"),
        }
    }
    env
}

/// Reads `when`: one expression, whose answer is known to be true or false or not known before it runs.
fn condition(cx: &mut Cx<'_>, names: &Names<'_>, index: usize, node: &Node) -> Option<String> {
    let Kind::Scalar { text, .. } = &node.kind else {
        cx.wrong_type(node, "`when` is one `{{ expression }}`");
        return None;
    };
    if !is_template(text) {
        let message = "`when` is one `{{ expression }}`, and this is no template";
        let meant = serde_json::to_string(&format!("{{{{ {} }}}}", text.trim())).unwrap_or_default();
        let found = Diagnostic::new(Code::W106, node.span, message).did_you_mean(Some(&meant));
        cx.push(node.locate(found));
        return None;
    }
    let boolean = serde_json::json!({ "type": "boolean" });
    let before = cx.sink.errors();
    with::templates(cx, names, Place::Task(index), node, Some(Schema::of(&boolean)), "when");
    // Without a reference it has its answer already.
    if cx.sink.errors() == before
        && Template::parse(text).is_ok_and(|template| template.references().is_empty())
        && let Err(error) = template::condition(text, &template::Context::from_map(serde_json::Map::new()))
    {
        let found = Diagnostic::new(Code::W407, node.span, format!("`when` has no answer: {}", error.message));
        cx.push(node.locate(found.hint_if(error.hint)));
    }
    Some(text.clone())
}

impl Draft<'_> {
    /// What the graph needs of it.
    pub(crate) fn vertex(&self) -> Vertex {
        Vertex { id: self.id.clone(), depends_on: self.depends_on.clone(), trigger_rule: self.trigger_rule }
    }

    /// Checks it against the catalog and the other tasks.
    pub(crate) fn finish(self, cx: &mut Cx<'_>, names: &Names<'_>, index: usize) -> Option<Task> {
        let catalog = cx.catalog;
        let known = self.task_type.and_then(|(name, _)| catalog.known(name));
        if let (None, Some((name, node))) = (known, self.task_type) {
            let found = Diagnostic::new(Code::W501, node.span, format!("there is no task type `{}`", cx.short(name)))
                .hint("`updraft tasks --types` lists them")
                .did_you_mean(nearest(name, catalog.tasks().map(|spec| spec.name.as_str())));
            cx.push(node.locate(found));
        }
        let place =
            self.with.map(|entry| entry.key_span).or(self.task_type.map(|(_, node)| node.span)).unwrap_or(self.start);
        let with = with::check(cx, names, index, known, self.with.map(|entry| &*entry.value), place);
        if let Some(node) = self.env_node {
            let text = serde_json::json!({ "additionalProperties": { "type": ["string", "integer", "number", "boolean"] }, "type": "object" });
            with::templates(cx, names, Place::Task(index), node, Some(Schema::of(&text)), "env");
        }
        let when = self.when.and_then(|node| condition(cx, names, index, node));
        self.check_connection(cx);
        if let Some((name, _)) = self.task_type {
            retry::check_classes(cx, &self.retry, name);
        }
        let (id, _) = self.id?;
        let (task_type, _) = self.task_type?;
        Some(Task {
            id: TaskId::from(id),
            task_type: task_type.to_owned(),
            with,
            conn: self.conn.map(|(name, _)| name.to_owned()),
            depends_on: {
                let mut seen = std::collections::HashSet::new();
                self.depends_on
                    .iter()
                    .filter(|(name, _)| seen.insert(name.as_str()))
                    .map(|(name, _)| TaskId::from(name.as_str()))
                    .collect()
            },
            trigger_rule: self.trigger_rule.0,
            when,
            allow_failure: self.allow_failure,
            retry: self.retry.policy,
            timeout: self.timeout,
            env: self.env,
        })
    }

    fn check_connection(&self, cx: &mut Cx<'_>) {
        let catalog = cx.catalog;
        let Some((type_name, type_node)) = self.task_type else { return };
        let need = catalog.task(type_name).map(|spec| &spec.conn);
        let (kinds, required): (&[String], bool) = match need {
            None => (&[], false),
            Some(ConnNeed::None) => {
                if let Some((_, node)) = self.conn {
                    let found = Diagnostic::new(Code::W508, node.span, format!("`{type_name}` uses no connection"));
                    cx.push(node.locate(found.hint("leave `conn` out")));
                }
                return;
            }
            Some(ConnNeed::Optional(kinds)) => (kinds, false),
            Some(ConnNeed::Required(kinds)) => (kinds, true),
        };
        let fitting = || {
            let names: Vec<&str> = catalog
                .connections()
                .filter(|(_, kind)| kinds.is_empty() || kinds.iter().any(|wanted| wanted == kind))
                .map(|(name, _)| name)
                .collect();
            if names.is_empty() {
                format!("add a connection of kind {} to the profile in `updraft.yaml`", kinds.join(" or "))
            } else {
                format!("connections that fit: {}", names.join(", "))
            }
        };
        let Some((name, node)) = self.conn else {
            // Left out, the connection called like the first kind is taken.
            let default = kinds.first().and_then(|kind| catalog.connection(kind));
            if required && default.is_none_or(|kind| !kinds.iter().any(|wanted| wanted == kind)) {
                let message = format!("`{type_name}` needs a connection of kind {}", kinds.join(" or "));
                cx.push(type_node.locate(Diagnostic::new(Code::W507, type_node.span, message)).hint(fitting()));
            }
            return;
        };
        match catalog.connection(name) {
            None => {
                let found =
                    Diagnostic::new(Code::W505, node.span, format!("there is no connection `{}`", cx.short(name)))
                        .hint(fitting())
                        .did_you_mean(nearest(name, catalog.connections().map(|(name, _)| name)));
                cx.push(node.locate(found));
            }
            Some(kind) if !kinds.is_empty() && !kinds.iter().any(|wanted| wanted == kind) => {
                let message =
                    format!("`{name}` is a connection of kind {kind}, and `{type_name}` needs {}", kinds.join(" or "));
                cx.push(node.locate(Diagnostic::new(Code::W506, node.span, message)).hint(fitting()));
            }
            Some(_) => {}
        }
    }
}
