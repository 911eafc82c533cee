//! Reference pages generated from the types of tasks and connections: what `updraft tasks --types TYPE` prints and what
//! `docs/reference/` holds.

use std::fmt::Write as _;

use serde_json::Value;
use updraft_task::registry::ConnectionType;
use updraft_task::{ConnectionNeed, Registry, TaskType};

/// The page of a task type, as Markdown.
pub fn task(task: &TaskType) -> String {
    let mut text = format!("# `{}`\n\n{}\n\n", task.name, sentence(task.summary));
    let effects = match task.effects {
        updraft_task::Effects::ExactlyOnce => {
            "exactly once: the sink refuses or replaces what a second execution brings"
        }
        updraft_task::Effects::Idempotent => "idempotent: doing it twice leaves the same state as doing it once",
        updraft_task::Effects::AtLeastOnce => "at least once: a second execution shows",
    };
    let _ = writeln!(text, "- **Effects** {effects}.");
    match task.connection {
        ConnectionNeed::None => {}
        ConnectionNeed::Optional(kinds) => {
            let _ = writeln!(text, "- **Connection** (`conn:`, optional) of kind {}.", code_list(kinds));
        }
        ConnectionNeed::Required(kinds) => {
            let _ = writeln!(
                text,
                "- **Connection** (`conn:`) of kind {}; left out, the connection called `{}` is taken.",
                code_list(kinds),
                kinds.first().copied().unwrap_or_default()
            );
        }
    }
    let _ = write!(text, "\n```yaml\n{}\n```\n", task.example.trim());
    text.push_str("\n## Parameters (`with:`)\n\n");
    fields(&task.params, &mut text);
    text.push_str("\n## Output\n\n");
    fields(&task.output, &mut text);
    if !task.errors.is_empty() {
        text.push_str("\n## Error classes\n\n| class | retried | when |\n|---|---|---|\n");
        for class in task.errors {
            let retried = if class.retryable { "if tries are left" } else { "never" };
            let _ = writeln!(text, "| `{}` | {retried} | {} |", class.name, cell(class.meaning));
        }
    }
    text
}

fn code_list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}

/// A summary as a sentence.
fn sentence(summary: &str) -> String {
    let mut letters = summary.trim_end_matches('.').chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn fields(schema: &Value, text: &mut String) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object).filter(|fields| !fields.is_empty())
    else {
        match schema.get("description").and_then(Value::as_str) {
            Some(description) => text.push_str(description),
            None => text.push_str("None."),
        }
        text.push('\n');
        return;
    };
    text.push_str("| field | type | default | meaning |\n|---|---|---|---|\n");
    rows(properties, schema, "", text);
}

/// How deep fields of fields are told.
const DEPTH: usize = 2;

fn rows(properties: &serde_json::Map<String, Value>, parent: &Value, prefix: &str, text: &mut String) {
    for (name, schema) in properties {
        row(&format!("{prefix}{name}"), schema, is_required(parent, name), "", text);
        if prefix.matches('.').count() < DEPTH {
            inside(schema, &format!("{prefix}{name}"), text);
        }
    }
}

fn is_required(parent: &Value, name: &str) -> bool {
    parent.get("required").and_then(Value::as_array).is_some_and(|names| names.iter().any(|one| one == name))
}

fn row(path: &str, schema: &Value, required: bool, only: &str, text: &mut String) {
    let default = match schema.get("default") {
        Some(Value::Null) | None if required => "required".to_owned(),
        Some(Value::Null) | None => String::new(),
        Some(value) => format!("`{}`", cell(&value.to_string())),
    };
    let meaning = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let _ = writeln!(text, "| `{path}` | {} | {default} | {}{only} |", cell(&type_of(schema)), cell(meaning));
}

/// The fields inside a field: of a map, of a list's entries (`path[]`), of a map's values (`path.*`), of either form.
fn inside(schema: &Value, path: &str, text: &mut String) {
    if is_dataset(schema) {
        return;
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        return rows(properties, schema, &format!("{path}."), text);
    }
    if let Some(items) = schema.get("items") {
        return inside(items, &format!("{path}[]"), text);
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        return inside(values, &format!("{path}.*"), text);
    }
    for key in ["anyOf", "oneOf"] {
        let Some(forms) = schema.get(key).and_then(Value::as_array) else { continue };
        match forms.iter().map(tag).collect::<Option<Vec<_>>>() {
            Some(tagged) if tagged.len() > 1 => variants(&tagged, path, text),
            Some(_) | None => forms.iter().for_each(|form| inside(form, path, text)),
        }
    }
}

/// One of several forms of a map that are told apart by a constant field.
struct Variant<'s> {
    tag: &'s str,
    value: &'s str,
    schema: &'s Value,
    properties: &'s serde_json::Map<String, Value>,
}

fn tag(schema: &Value) -> Option<Variant<'_>> {
    let properties = schema.get("properties")?.as_object()?;
    let (tag, value) =
        properties.iter().find_map(|(name, field)| Some((name.as_str(), field.get("const")?.as_str()?)))?;
    Some(Variant { tag, value, schema, properties })
}

/// What each form is, then every field once, with the forms that have it.
fn variants(forms: &[Variant<'_>], path: &str, text: &mut String) {
    for form in forms {
        let meaning = form.schema.get("description").and_then(Value::as_str).unwrap_or_default();
        let _ = writeln!(text, "| `{path}.{}: {}` | | | {} |", form.tag, form.value, cell(meaning));
    }
    let mut told: Vec<&str> = Vec::new();
    for (name, schema) in forms.iter().flat_map(|form| form.properties) {
        if told.contains(&name.as_str()) || forms.iter().any(|form| form.tag == name) {
            continue;
        }
        told.push(name);
        let with: Vec<&Variant<'_>> = forms.iter().filter(|form| form.properties.contains_key(name)).collect();
        let only = if with.len() == forms.len() {
            String::new()
        } else {
            format!(" Of {}.", with.iter().map(|form| format!("`{}`", form.value)).collect::<Vec<_>>().join(", "))
        };
        row(&format!("{path}.{name}"), schema, with.iter().all(|form| is_required(form.schema, name)), &only, text);
    }
}

/// A handle of data: its fields are the same everywhere.
fn is_dataset(schema: &Value) -> bool {
    ["uri", "format", "sha256"].iter().all(|name| schema.pointer(&format!("/properties/{name}")).is_some())
}

/// [`type_of`] as a part of a longer name: several kinds stand in parentheses.
fn grouped(schema: &Value) -> String {
    let name = type_of(schema);
    if name.contains(" or ") { format!("({name})") } else { name }
}

/// A schema's type in words: `integer`, `list of string`, `"a" or "b"`.
fn type_of(schema: &Value) -> String {
    if is_dataset(schema) {
        return "dataset".to_owned();
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values
            .iter()
            .map(|value| format!("`{}`", value.to_string().trim_matches('"')))
            .collect::<Vec<_>>()
            .join(" or ");
    }
    if let Some(value) = schema.get("const") {
        return format!("`{}`", value.to_string().trim_matches('"'));
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(any) = schema.get(key).and_then(Value::as_array) {
            let mut names: Vec<String> = any.iter().map(type_of).filter(|name| name != "null").collect();
            names.dedup();
            return names.join(" or ");
        }
    }
    let one = |name: &str| match name {
        "array" => schema.get("items").map_or_else(|| "list".to_owned(), |items| format!("list of {}", grouped(items))),
        "object" => schema
            .get("additionalProperties")
            .filter(|values| values.is_object())
            .map_or_else(|| "map".to_owned(), |values| format!("map of {}", grouped(values))),
        other => other.to_owned(),
    };
    match schema.get("type") {
        Some(Value::String(name)) => one(name),
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| *name != "null")
            .map(one)
            .collect::<Vec<_>>()
            .join(" or "),
        Some(_) | None => "any".to_owned(),
    }
}

fn connection(kind: &ConnectionType) -> String {
    let mut text = format!("## `{}`\n\n{}\n\n", kind.name, sentence(kind.summary));
    fields(&kind.schema, &mut text);
    let secret: Vec<String> = kind.secret_fields().iter().map(|name| format!("`{name}`")).collect();
    if !secret.is_empty() {
        let _ = writeln!(text, "\nSecret, never printed: {}.", secret.join(", "));
    }
    text
}

/// All pages by file name.
pub fn pages(registry: &Registry) -> Vec<(String, String)> {
    let mut pages: Vec<(String, String)> =
        registry.tasks().map(|one| (format!("tasks/{}.md", one.name), task(one))).collect();
    let mut index = String::from(
        "# Task types\n\nGenerated from the types by `cargo xtask gen`. A `dataset` is a handle of data in the lake: `uri`, `format`, \
         `schema`, `rows`, `bytes`, `sha256`.\n\n| type | effects | what it does |\n|---|---|---|\n",
    );
    for one in registry.tasks() {
        let _ = writeln!(index, "| [`{0}`]({0}.md) | {1} | {2} |", one.name, one.effects.name(), cell(one.summary));
    }
    pages.push(("tasks/README.md".to_owned(), index));
    let mut connections = String::from(
        "# Connection kinds\n\nGenerated from the types by `cargo xtask gen`. Connections stand in `updraft.yaml` under \
         `profiles.NAME.connections`; every field can be overridden by `UPDRAFT_CONN_<NAME>__<FIELD>`.\n",
    );
    for kind in registry.connections() {
        let _ = write!(connections, "\n{}", connection(kind));
    }
    pages.push(("connections.md".to_owned(), connections));
    pages
}
