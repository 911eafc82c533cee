//! `params` and `vars`.

use serde_json::{Map, Value, json};

use super::types::type_of;
use super::{Cx, compile};
use crate::diagnostic::{Code, Diagnostic};
use crate::suggest::nearest;
use crate::template::is_template;
use crate::yaml::{Entry, Kind, Node};

/// Keywords of JSON Schema 2020-12 that mean something in a param.
const KEYWORDS: &[&str] = &[
    "$comment",
    "$defs",
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "default",
    "dependentRequired",
    "dependentSchemas",
    "deprecated",
    "description",
    "else",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "readOnly",
    "required",
    "then",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
];

/// Reads `params`: name → JSON Schema with `default`, or a bare default whose type is inferred.
pub(crate) fn read(cx: &mut Cx<'_>, node: &Node) -> Map<String, Value> {
    let mut params = Map::new();
    let Kind::Map(entries) = &node.kind else {
        cx.wrong_type(node, "`params` is a map of name to schema or default");
        return params;
    };
    for entry in entries {
        check_name(cx, entry, "a param");
        // A broken one counts as declared: what reads it is no second mistake.
        params.insert(entry.key.clone(), param(cx, entry).unwrap_or_else(|| json!({})));
    }
    params
}

/// Names that templates can write behind a dot.
fn check_name(cx: &mut Cx<'_>, entry: &Entry, what: &str) {
    let plain = entry.key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && entry.key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && entry.key.len() <= 100;
    if !plain {
        let message = format!("`{}` cannot be the name of {what}", cx.short(&entry.key));
        let found = Diagnostic::new(Code::W109, entry.key_span, message);
        cx.push(found.hint("use letters, digits and `_`, beginning with a letter, at most 100"));
    }
}

fn param(cx: &mut Cx<'_>, entry: &Entry) -> Option<Value> {
    let node = &entry.value;
    match &node.kind {
        Kind::Broken => None,
        Kind::Scalar { .. } | Kind::Seq(_) => {
            if !cx.has_value(entry) {
                return None;
            }
            no_template(cx, node, "a default");
            let default = cx.json(node);
            Some(json!({ "type": type_of(&default), "default": default }))
        }
        Kind::Map(keywords) => {
            let errors = cx.sink.errors();
            check_keywords(cx, keywords);
            no_template(cx, node, "a schema");
            let schema = Value::Object(cx.json_map(keywords));
            if cx.sink.errors() > errors {
                return None;
            }
            check_schema(cx, entry, keywords, &schema);
            Some(schema)
        }
    }
}

fn check_keywords(cx: &mut Cx<'_>, keywords: &[Entry]) {
    for keyword in keywords {
        let key = keyword.key.as_str();
        if !KEYWORDS.contains(&key) && !key.starts_with("x-") {
            let message = format!("`{}` is no keyword of JSON Schema", cx.short(key));
            let found = Diagnostic::new(Code::W601, keyword.key_span, message)
                .hint("a param as a map is a schema: write `default: …` for a default that is a map");
            cx.push(found.did_you_mean(nearest(key, KEYWORDS.iter().copied())));
        }
        match (key, &keyword.value.kind) {
            ("properties" | "patternProperties" | "$defs" | "dependentSchemas", Kind::Map(named)) => {
                for schema in named {
                    if let Kind::Map(inner) = &schema.value.kind {
                        check_keywords(cx, inner);
                    }
                }
            }
            ("items" | "additionalProperties" | "not" | "contains" | "propertyNames", Kind::Map(inner)) => {
                check_keywords(cx, inner);
            }
            _ => {}
        }
    }
}

fn check_schema(cx: &mut Cx<'_>, entry: &Entry, keywords: &[Entry], schema: &Value) {
    let text = schema.to_string();
    if cx.catalog.knows_params(&text) {
        return;
    }
    let key_span = |name: &str| keywords.iter().find(|keyword| keyword.key == name);
    let validator = match compile(schema) {
        Ok(validator) => validator,
        Err(error) => {
            let keyword = error.instance_path().as_str().split('/').nth(1).and_then(key_span);
            let span = keyword.map_or(entry.key_span, |keyword| keyword.value.span);
            let of_type = keyword.is_some_and(|keyword| keyword.key == "type");
            let reason = if of_type { "JSON has no such type".to_owned() } else { limited(&error.to_string()) };
            let message = format!("the schema of `{}` is not valid: {reason}", cx.short(&entry.key));
            let mut found = Diagnostic::new(Code::W601, span, message);
            if of_type {
                const TYPES: [&str; 7] = ["string", "integer", "number", "boolean", "array", "object", "null"];
                found = found.hint(format!("there are: {}", TYPES.join(", ")));
                found = found
                    .did_you_mean(schema.get("type").and_then(Value::as_str).and_then(|name| nearest(name, TYPES)));
            }
            cx.push(found);
            return;
        }
    };
    if let (Some(default), Some(keyword)) = (schema.get("default"), key_span("default"))
        && let Err(error) = validator.validate(default)
    {
        let message = format!(
            "the default of `{}` does not fit its schema: {}",
            cx.short(&entry.key),
            limited(&error.to_string())
        );
        return cx.push(keyword.value.locate(Diagnostic::new(Code::W602, keyword.value.span, message)));
    }
    cx.catalog.remember_params(text);
}

/// Reads `vars`: constants of any type.
pub(crate) fn vars(cx: &mut Cx<'_>, node: &Node) -> Map<String, Value> {
    let Kind::Map(entries) = &node.kind else {
        cx.wrong_type(node, "`vars` is a map of name to value");
        return Map::new();
    };
    for entry in entries {
        check_name(cx, entry, "a var");
    }
    no_template(cx, node, "a var");
    cx.json_map(entries)
}

fn no_template(cx: &mut Cx<'_>, node: &Node, what: &str) {
    match &node.kind {
        Kind::Scalar { text, .. } if is_template(text) => {
            let found =
                Diagnostic::new(Code::W409, node.span, format!("{what} is a constant: no template is evaluated here"));
            cx.push(node.locate(found).hint("put the template where the value is used"));
        }
        Kind::Scalar { .. } | Kind::Broken => {}
        Kind::Seq(items) => items.iter().for_each(|item| no_template(cx, item, what)),
        Kind::Map(entries) => entries.iter().for_each(|entry| no_template(cx, &entry.value, what)),
    }
}

/// The first 200 characters of a foreign message, which may quote a whole value.
pub(crate) fn limited(message: &str) -> String {
    let message = message.trim_end_matches('.').replace('"', "`");
    if message.chars().count() <= 200 {
        message
    } else {
        format!("{}…", message.chars().take(200).collect::<String>())
    }
}
