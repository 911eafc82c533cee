//! A kind's fields: which are secret, which fit, and how they are shown.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::environment::{Variable, variable_name};
use super::{FieldProblem, FieldView, KindSpec, Source};
use crate::audit;

/// A kind with its schema compiled.
pub(super) struct Kind {
    pub(super) spec: KindSpec,
    validator: Result<jsonschema::Validator, String>,
}

impl Kind {
    pub(super) fn new(spec: KindSpec) -> Self {
        let validator = jsonschema::validator_for(&spec.schema).map_err(|error| error.to_string());
        Self { spec, validator }
    }

    fn properties(&self) -> impl Iterator<Item = (&str, &Value)> {
        let properties = self.spec.schema.get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
    }

    pub(super) fn is_secret(&self, field: &str) -> bool {
        self.properties().any(|(name, schema)| name == field && is_secret(schema))
    }

    /// Fields that it does not have.
    pub(super) fn unknown(&self, fields: &Map<String, Value>) -> Vec<FieldProblem> {
        let known: Vec<&str> = self.properties().map(|(name, _)| name).collect();
        fields
            .keys()
            .filter(|field| !known.contains(&field.as_str()))
            .map(|field| FieldProblem {
                pointer: pointer(field),
                message: format!("kind `{}` has no field `{field}`; it has {}", self.spec.name, known.join(", ")),
            })
            .collect()
    }

    /// What of these fields does not fit the schema, without their values.
    pub(super) fn problems(&self, fields: &Map<String, Value>) -> Vec<FieldProblem> {
        let validator = match &self.validator {
            Ok(validator) => validator,
            Err(error) => {
                let message = format!("the schema of kind `{}` cannot be used: {error}", self.spec.name);
                return vec![FieldProblem { pointer: String::new(), message }];
            }
        };
        // Unknown fields are told by name, with what there is.
        let (known, _): (Map<_, _>, Map<_, _>) =
            fields.clone().into_iter().partition(|(field, _)| self.properties().any(|(name, _)| name == field));
        validator
            .iter_errors(&Value::Object(known))
            .map(|error| FieldProblem {
                pointer: error.instance_path().to_string(),
                message: error.masked_with("the value").to_string(),
            })
            .collect()
    }

    /// A variable's value as the field's: text as it is, everything else as JSON. The value is never repeated.
    pub(super) fn of_variable(&self, variable: &Variable<'_>) -> Result<(String, Value), String> {
        let found = self.properties().find(|(name, _)| variable_name(name) == variable.field);
        let Some((field, schema)) = found else {
            let known: Vec<String> = self.properties().map(|(name, _)| variable_name(name)).collect();
            return Err(format!(
                "{}: kind `{}` has no such field; it has {}",
                variable.key,
                self.spec.name,
                known.join(", ")
            ));
        };
        if accepts(schema, "string") {
            return Ok((field.to_owned(), Value::String(variable.value.to_owned())));
        }
        let value = serde_json::from_str(variable.value)
            .map_err(|_| format!("{} does not fit field `{field}`: it is not JSON (true, 5, [\"a\"])", variable.key))?;
        Ok((field.to_owned(), value))
    }

    /// All fields as people see them: those that the kind has, then those that it has not.
    pub(super) fn views(&self, fields: &BTreeMap<String, (Value, Source)>) -> Vec<FieldView> {
        let mut views: Vec<FieldView> = self
            .properties()
            .map(|(name, schema)| {
                let secret = is_secret(schema);
                let (value, source) = match (fields.get(name), schema.get("default")) {
                    (Some((value, source)), _) => (Some(value), *source),
                    (None, Some(default)) if !default.is_null() => (Some(default), Source::Default),
                    (None, Some(_) | None) => (None, Source::Unset),
                };
                FieldView {
                    name: name.to_owned(),
                    source,
                    secret,
                    set: value.is_some_and(|value| !value.is_null()),
                    value: value.filter(|_| !secret).map(|value| audit::masked(value.clone())),
                }
            })
            .collect();
        let known: Vec<&str> = self.properties().map(|(name, _)| name).collect();
        let strangers = fields.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        // What nobody knows may be a secret under a misspelt name.
        views.extend(strangers.map(|(name, (_, source))| FieldView {
            name: name.clone(),
            source: *source,
            secret: true,
            value: None,
            set: true,
        }));
        views
    }
}

fn pointer(field: &str) -> String {
    format!("/{}", field.replace('~', "~0").replace('/', "~1"))
}

fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten()
}

/// Whether a text of this schema is secret, or all values of a map or list of it are: the mark that the type `Secret` of
/// the task SDK leaves in a schema.
fn is_secret(schema: &Value) -> bool {
    schema.get("writeOnly") == Some(&Value::Bool(true))
        || ["additionalProperties", "items"].iter().filter_map(|key| schema.get(key)).any(is_secret)
        || alternatives(schema).any(is_secret)
}

fn accepts(schema: &Value, wanted: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(name)) => name == wanted,
        Some(Value::Array(names)) => names.iter().any(|name| name == wanted),
        Some(_) | None => alternatives(schema).any(|one| accepts(one, wanted)),
    }
}
