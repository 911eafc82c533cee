//! Params of one run: what was given, over the defaults of the file, checked against the schemas.
//!
//! One meaning for the command line, the API and schedules alike.

use serde_json::{Map, Value};
use updraft_model::workflow::Workflow;

use crate::check::{compile, limited};
use crate::suggest::nearest;

/// Why a value cannot be a param of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// The workflow has no such param.
    #[error("the workflow has no param `{name}`{}", suggestion.as_ref().map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default())]
    Unknown {
        /// As given.
        name: String,
        /// The one that was likely meant.
        suggestion: Option<String>,
    },
    /// Not of the form `name=value`.
    #[error("`{0}` is no param: write `name=value`")]
    Form(String),
    /// Not JSON where JSON is needed.
    #[error("`{value}` is no JSON, and param `{name}` is {wanted}: {reason}")]
    Json {
        /// The param.
        name: String,
        /// As given.
        value: String,
        /// What is wanted, in words.
        wanted: String,
        /// What the JSON reader says.
        reason: String,
    },
    /// Not given, and without a default.
    #[error("param `{0}` has no default: give it with `-p {0}=…`")]
    Missing(String),
    /// Does not fit the schema.
    #[error("param `{name}` does not fit: {reason}")]
    Unfit {
        /// The param, with the place inside it.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// Reads `name=value` from a command line: the value is taken literally if the param's type is `string`, else as JSON.
///
/// # Errors
/// An unknown param, or a value that is not JSON.
pub fn parse_param(workflow: &Workflow, argument: &str) -> Result<(String, Value), ParamError> {
    let (name, text) = argument.split_once('=').ok_or_else(|| ParamError::Form(argument.to_owned()))?;
    let schema = workflow.params.get(name).ok_or_else(|| unknown(workflow, name))?;
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(some)) => some.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if types == ["string"] {
        return Ok((name.to_owned(), Value::String(text.to_owned())));
    }
    match serde_json::from_str(text) {
        Ok(value) => Ok((name.to_owned(), value)),
        Err(_) if types.is_empty() || types.contains(&"string") => {
            Ok((name.to_owned(), Value::String(text.to_owned())))
        }
        Err(error) => Err(ParamError::Json {
            name: name.to_owned(),
            value: text.to_owned(),
            wanted: types.join(" or "),
            reason: error.to_string(),
        }),
    }
}

/// The params of a run: given values over defaults (also those inside objects), every one checked.
///
/// # Errors
/// All that is wrong, not the first thing alone.
pub fn resolve_params(workflow: &Workflow, given: &Map<String, Value>) -> Result<Map<String, Value>, Vec<ParamError>> {
    let mut errors: Vec<ParamError> =
        given.keys().filter(|name| !workflow.params.contains_key(*name)).map(|name| unknown(workflow, name)).collect();
    let mut params = Map::new();
    for (name, schema) in &workflow.params {
        let Some(value) = given.get(name).cloned().or_else(|| default_of(schema)) else {
            errors.push(ParamError::Missing(name.clone()));
            continue;
        };
        let value = filled(value, schema);
        match compile(schema) {
            Ok(validator) => errors.extend(validator.iter_errors(&value).map(|error| ParamError::Unfit {
                name: format!("{name}{}", error.instance_path().as_str().replace('/', ".")),
                reason: limited(&error.to_string()),
            })),
            Err(error) => {
                errors.push(ParamError::Unfit { name: name.clone(), reason: limited(&error.to_string()) });
            }
        }
        params.insert(name.clone(), value);
    }
    if errors.is_empty() { Ok(params) } else { Err(errors) }
}

fn unknown(workflow: &Workflow, name: &str) -> ParamError {
    let suggestion = nearest(name, workflow.params.keys().map(String::as_str)).map(str::to_owned);
    ParamError::Unknown { name: name.to_owned(), suggestion }
}

/// The default of a schema: its own, or an object made of its properties' defaults.
fn default_of(schema: &Value) -> Option<Value> {
    if let Some(default) = schema.get("default") {
        return Some(default.clone());
    }
    let properties = schema.get("properties")?.as_object()?;
    let made: Map<String, Value> =
        properties.iter().filter_map(|(name, inner)| Some((name.clone(), default_of(inner)?))).collect();
    let required = schema.get("required").and_then(Value::as_array);
    let complete = required.into_iter().flatten().all(|name| name.as_str().is_some_and(|name| made.contains_key(name)));
    (!made.is_empty() && complete).then_some(Value::Object(made))
}

/// Adds the defaults of properties that an object leaves out.
fn filled(value: Value, schema: &Value) -> Value {
    let (Value::Object(mut map), Some(properties)) =
        (value.clone(), schema.get("properties").and_then(Value::as_object))
    else {
        return value;
    };
    for (name, inner) in properties {
        match map.remove(name) {
            Some(given) => {
                map.insert(name.clone(), filled(given, inner));
            }
            None => {
                if let Some(default) = default_of(inner) {
                    map.insert(name.clone(), default);
                }
            }
        }
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Catalog, TaskSpec, check};

    fn workflow() -> Workflow {
        let mut catalog = Catalog::new();
        catalog.add_task(TaskSpec {
            name: "noop".into(),
            summary: String::new(),
            params: json!({}),
            output: json!({}),
            conn: crate::ConnNeed::None,
            errors: Vec::new(),
        });
        let text = "id: w\nparams:\n  regions: [europe]\n  name: x\n  limit: {type: [integer, 'null'], default: 3, minimum: 1}\n  \
                    box:\n    type: object\n    properties: {a: {type: number, default: 1.5}, b: {type: number, default: 2}}\n  \
                    needed: {type: string}\ntasks: [{id: a, type: noop}]\n";
        check("w.yaml", text, &catalog).workflow.expect("a good file")
    }

    #[test]
    fn an_argument_is_literal_for_a_string_and_json_for_the_rest() {
        let workflow = workflow();
        for (argument, expected) in [
            ("name=[1]", json!("[1]")),
            ("name=a=b", json!("a=b")),
            ("regions=[\"asia\"]", json!(["asia"])),
            ("limit=7", json!(7)),
            ("limit=null", json!(null)),
        ] {
            assert_eq!(parse_param(&workflow, argument).map(|(_, value)| value), Ok(expected), "{argument}");
        }
        for (argument, expected) in [
            ("regions=asia", "`asia` is no JSON, and param `regions` is array: expected value at line 1 column 1"),
            ("reegions=1", "the workflow has no param `reegions`; did you mean `regions`?"),
            ("regions", "`regions` is no param: write `name=value`"),
        ] {
            assert_eq!(parse_param(&workflow, argument).expect_err(argument).to_string(), expected);
        }
    }

    #[test]
    fn given_values_stand_over_defaults_at_every_depth() {
        let given = json!({ "needed": "x", "box": { "a": 9 } });
        let params = resolve_params(&workflow(), given.as_object().expect("a map")).expect("fits");
        let expected = json!({
            "regions": ["europe"], "name": "x", "limit": 3, "box": { "a": 9, "b": 2 }, "needed": "x"
        });
        assert_eq!(Value::Object(params), expected);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let given = json!({ "limit": 0, "box": { "a": "x" }, "nam": 1 });
        let errors = resolve_params(&workflow(), given.as_object().expect("a map")).expect_err("does not fit");
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "the workflow has no param `nam`; did you mean `name`?",
                "param `limit` does not fit: 0 is less than the minimum of 1",
                "param `box.a` does not fit: `x` is not of type `number`",
                "param `needed` has no default: give it with `-p needed=…`",
            ]
        );
    }
}
