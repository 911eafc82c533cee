//! The JSON Schema of workflow files for editors, with every task type's `with` in it.
//!
//! It offers keys and values while one types; `updraft check` remains the judge: templates, references, cycles and instants
//! are beyond a schema. Draft 07, because editors know it best.

use serde_json::{Map, Value, json};
use updraft_model::trigger_rule::TriggerRule;

use crate::catalog::{Catalog, ConnNeed, TaskSpec};
use crate::check::{DEFAULTS, DST, MAX_TASKS, RETRY, SCHEDULE, TASK, Table, WORKFLOW};

const DURATION: &str = r"^\s*((\d+(w|d|h|m|s|ms)\s*)+|[Pp].+)$";

/// The schema for the task types and connections of a catalog.
pub fn schema(catalog: &Catalog) -> Value {
    let mut definitions = Map::new();
    for spec in catalog.tasks() {
        definitions.insert(format!("with:{}", spec.name), with(spec));
    }
    definitions
        .insert("duration".into(), json!({ "type": "string", "pattern": DURATION, "examples": ["90s", "1h30m"] }));
    definitions.insert(
        "names".into(),
        json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] }),
    );
    definitions.insert(
        "env".into(),
        json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } }),
    );
    definitions.insert("retry".into(), object(&RETRY, &[], retry_key));
    definitions.insert("defaults".into(), object(&DEFAULTS, &[], shared_key));
    definitions.insert("task".into(), task(catalog));
    let mut root = object(&WORKFLOW, &["id", "tasks"], workflow_key);
    if let Value::Object(root) = &mut root {
        root.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
        root.insert("title".into(), json!("Updraft workflow"));
        root.insert("definitions".into(), Value::Object(definitions));
    }
    root
}

/// An object with the keys of a table and their accepted other spellings.
fn object(table: &Table, required: &[&str], describe: impl Fn(&str) -> Value) -> Value {
    let mut properties = Map::new();
    for key in table.keys {
        properties.insert((*key).to_owned(), describe(key));
    }
    for (alias, key) in table.aliases.iter().filter(|(_, key)| table.keys.contains(key)) {
        let mut schema = describe(key);
        if let Value::Object(schema) = &mut schema {
            schema.insert("deprecated".into(), json!(true));
            schema
                .insert("description".into(), json!(format!("Other spelling of `{key}`; `updraft fmt` rewrites it.")));
        }
        properties.insert((*alias).to_owned(), schema);
    }
    let needs: Vec<Value> = required
        .iter()
        .map(|key| {
            let spellings = table.aliases.iter().filter(|(_, canonical)| canonical == key).map(|(alias, _)| *alias);
            let any: Vec<Value> =
                std::iter::once(*key).chain(spellings).map(|name| json!({ "required": [name] })).collect();
            json!({ "anyOf": any })
        })
        .collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let (Value::Object(schema), false) = (&mut schema, needs.is_empty()) {
        schema.insert("allOf".into(), Value::Array(needs));
    }
    schema
}

fn described(schema: Value, description: &str) -> Value {
    match schema {
        Value::Object(mut schema) => {
            schema.insert("description".into(), json!(description));
            Value::Object(schema)
        }
        other => other,
    }
}

fn reference(name: &str) -> Value {
    json!({ "allOf": [{ "$ref": format!("#/definitions/{name}") }] })
}

fn workflow_key(key: &str) -> Value {
    let text = || json!({ "type": "string" });
    match key {
        "id" => described(
            json!({ "type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]*$", "maxLength": 200 }),
            "Name, unique in the project.",
        ),
        "description" => described(text(), "What it is for."),
        "owner" => described(text(), "Who answers for it."),
        "tags" => described(reference("names"), "Labels for search."),
        "schedule" => described(
            json!({ "anyOf": [{ "type": ["string", "null"] }, { "type": "array", "items": { "type": "string" } }, schedule()] }),
            "When it runs by itself: a cron pattern, a preset such as `@hourly`, `none`, or a map. Left out: by hand only.",
        ),
        "start_date" => {
            described(text(), "No scheduled run whose logical date is before this instant: `2026-01-31` or RFC 3339.")
        }
        "end_date" => described(text(), "No scheduled run whose logical date is after this instant."),
        "catchup" => described(
            json!({ "anyOf": [
                { "type": "boolean" },
                { "enum": ["none", "latest", "all"] },
                { "type": "object", "required": ["window"], "additionalProperties": false,
                  "properties": { "window": reference("duration"), "max": { "type": "integer", "minimum": 1, "maximum": 10_000 } } },
            ] }),
            "What to do about fires that were missed. Default: `latest`; `true` = `all`, `false` = `none`.",
        ),
        "data_interval" => described(
            json!({ "enum": ["window", "point"] }),
            "Whether a run stands for the span before its fire (`window`, default) or for the instant (`point`).",
        ),
        "max_active_runs" => described(
            json!({ "type": "integer", "minimum": 1 }),
            "Runs that run at one time; further ones wait. Default: 16.",
        ),
        "max_active_tasks" => described(
            json!({ "type": "integer", "minimum": 1 }),
            "Task runs of one run executing at one time. Default: 16.",
        ),
        "overlap" => described(
            json!({ "enum": ["queue", "skip", "allow"] }),
            "What to do with a fire when `max_active_runs` runs are open: one run waits (`queue`, default), the fire is skipped, or every fire waits.",
        ),
        "paused" => described(
            json!({ "type": "boolean" }),
            "Paused when it is published for the first time; afterwards `updraft pause` and `unpause` decide.",
        ),
        "timeout" => described(reference("duration"), "Longest life of a run."),
        "params" => described(
            json!({ "type": "object" }),
            "Parameters of a run: name to JSON Schema with `default`, or to a bare default.",
        ),
        "vars" => described(json!({ "type": "object" }), "Constants for templates: `{{ vars.NAME }}`."),
        "env" => described(reference("env"), "Environment of the children of all tasks; values are templates."),
        "defaults" => described(reference("defaults"), "Settings of every task that does not have its own."),
        _ => described(
            json!({ "type": "array", "minItems": 1, "maxItems": MAX_TASKS, "items": reference("task") }),
            "The tasks.",
        ),
    }
}

fn schedule() -> Value {
    object(&SCHEDULE, &[], |key| match key {
        "cron" => described(reference("names"), "One or more cron patterns of five or six fields."),
        "timezone" => described(json!({ "type": "string" }), "IANA zone. Default: UTC."),
        "every" => described(
            reference("duration"),
            "A fixed span between runs, counted from `start_date`, else from the first publication.",
        ),
        "dates" => described(reference("names"), "Fixed instants: `2026-01-31T09:30:00Z`."),
        "dst" => described(dst(), "What clock changes do to it."),
        _ => described(
            reference("duration"),
            "Most by which a run is put off. How much follows from the workflow and the fire. Default: none.",
        ),
    })
}

fn dst() -> Value {
    object(&DST, &[], |key| match key {
        "gap" => described(
            json!({ "enum": ["after", "skip"] }),
            "A time that does not exist because clocks go forward: run at the first instant after, or not. Default: `after`; `skip` for patterns with `*`, `/` or a range in second, minute or hour.",
        ),
        _ => described(
            json!({ "enum": ["first", "second", "both"] }),
            "A time that comes twice because clocks go back. Default: `first`; `both` for patterns with `*`, `/` or a range in second, minute or hour.",
        ),
    })
}

fn retry_key(key: &str) -> Value {
    match key {
        "limit" => described(json!({ "type": "integer", "minimum": 0, "maximum": 100 }), "Tries after the first one."),
        "delay" => described(reference("duration"), "First wait. Default: 30s."),
        "backoff" => described(
            json!({ "enum": ["constant", "linear", "exponential"] }),
            "Growth of the wait. Default: exponential.",
        ),
        "factor" => described(
            json!({ "type": "number", "minimum": 1, "maximum": 100 }),
            "Base of exponential growth. Default: 2.",
        ),
        "max_delay" => described(reference("duration"), "Longest wait, before jitter. Default: 10m."),
        "jitter" => described(
            json!({ "type": "number", "minimum": 0, "maximum": 1 }),
            "Share of the wait added at random. Default: 0.2.",
        ),
        _ => described(reference("names"), "Error classes that may be retried. Default: every retryable error."),
    }
}

/// Keys that tasks and `defaults` share.
fn shared_key(key: &str) -> Value {
    match key {
        "retry" => described(reference("retry"), "What follows a failed attempt."),
        "retries" => {
            described(json!({ "type": "integer", "minimum": 0, "maximum": 100 }), "Short for `retry: {limit: …}`.")
        }
        "timeout" => described(reference("duration"), "Longest life of one attempt."),
        _ => described(reference("env"), "Environment of its children; values are templates."),
    }
}

fn task(catalog: &Catalog) -> Value {
    let connections: Vec<&str> = catalog.connections().map(|(name, _)| name).collect();
    let rules: Vec<&str> = TriggerRule::ALL.iter().map(|rule| rule.name()).collect();
    let types: Vec<Value> =
        catalog.tasks().map(|spec| json!({ "const": spec.name, "description": spec.summary })).collect();
    let mut schema = object(&TASK, &["id", "type"], |key| match key {
        "id" => workflow_key("id"),
        "type" => described(json!({ "type": "string", "oneOf": types }), "Task type."),
        "with" => described(json!({ "type": "object" }), "Parameters of the task type; strings may hold templates."),
        "conn" => described(json!({ "type": "string", "examples": connections }), "Named connection."),
        "depends_on" => described(reference("names"), "Tasks that come before it."),
        "trigger_rule" => {
            described(json!({ "enum": rules }), "When it may start, given its upstreams. Default: all_success.")
        }
        "when" => described(
            json!({ "type": "string", "pattern": r"^\s*\{\{[\s\S]*\}\}\s*$" }),
            "One `{{ expression }}` that is true or false, evaluated where the task would start. False: it is skipped.",
        ),
        "allow_failure" => {
            described(json!({ "type": "boolean" }), "Its failure does not count towards the run's outcome.")
        }
        other => shared_key(other),
    });
    // The type decides what `with` and `conn` are: `if` gives editors better messages than `oneOf`.
    let conditions = catalog.tasks().map(|spec| {
        let mut then = json!({ "properties": {
            "with": { "$ref": format!("#/definitions/with:{}", spec.name) },
            "args": { "$ref": format!("#/definitions/with:{}", spec.name) },
        } });
        if spec.conn == ConnNeed::None {
            then["properties"]["conn"] = json!(false);
        }
        json!({ "if": { "properties": { "type": { "const": spec.name } }, "required": ["type"] }, "then": then })
    });
    if let Some(all) = schema.get_mut("allOf").and_then(Value::as_array_mut) {
        all.extend(conditions);
    }
    schema
}

/// The parameters of a task type; every value may be a template too.
fn with(spec: &TaskSpec) -> Value {
    let mut schema = templated(&spec.params, &format!("#/definitions/with:{}", spec.name));
    if let Value::Object(schema) = &mut schema {
        schema.insert("description".into(), json!(spec.summary));
    }
    schema
}

/// A schema whose inner values may be templates, with its references moved to `root`.
fn templated(schema: &Value, root: &str) -> Value {
    let Value::Object(map) = schema else { return schema.clone() };
    let mut moved = Map::new();
    for (key, value) in map {
        let value = match (key.as_str(), value) {
            ("$ref", Value::String(target)) => {
                json!(target.strip_prefix('#').map_or_else(|| target.clone(), |pointer| format!("{root}{pointer}")))
            }
            ("properties" | "patternProperties", Value::Object(fields)) => {
                Value::Object(fields.iter().map(|(name, field)| (name.clone(), or_template(field, root))).collect())
            }
            ("$defs" | "definitions", Value::Object(named)) => {
                Value::Object(named.iter().map(|(name, inner)| (name.clone(), templated(inner, root))).collect())
            }
            ("items" | "additionalProperties", Value::Object(_)) => or_template(value, root),
            ("anyOf" | "oneOf" | "allOf", Value::Array(some)) => {
                Value::Array(some.iter().map(|one| templated(one, root)).collect())
            }
            _ => value.clone(),
        };
        moved.insert(key.clone(), value);
    }
    Value::Object(moved)
}

fn or_template(field: &Value, root: &str) -> Value {
    let inner = templated(field, root);
    let Value::Object(map) = &inner else { return inner };
    // The tag of an alternative is fixed; a text without limits takes templates as it is.
    let free = map.get("type") == Some(&json!("string"))
        && ["pattern", "format", "enum"].iter().all(|key| !map.contains_key(*key));
    if free || map.contains_key("const") {
        return inner;
    }
    let mut either = json!({ "anyOf": [inner, { "type": "string", "pattern": r"\{[\{%]" }] });
    for key in ["description", "title", "default"] {
        if let Some(value) = field.get(key) {
            either[key] = value.clone();
        }
    }
    either
}
