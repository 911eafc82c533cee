//! Walks JSON Schemas: what lies behind a step, and which types a value can have.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::template::{Step, StepKind};

/// A set of JSON types; empty = anything.
pub(crate) type Types = BTreeSet<&'static str>;

const NAMES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

/// A schema with the document that its `$ref`s point into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schema<'s> {
    root: &'s Value,
    at: &'s Value,
}

/// What a step leads to.
pub(crate) enum Found<'s> {
    /// A value with this schema.
    Schema(Schema<'s>),
    /// Something of which nothing is known.
    Anything,
    /// Nothing: there is no such field; these are there.
    NoField(Vec<&'s str>),
    /// Nothing: the value has no fields or items.
    NotInside(Types),
}

impl<'s> Schema<'s> {
    pub(crate) fn of(root: &'s Value) -> Self {
        Self { root, at: root }
    }

    fn with(self, at: &'s Value) -> Self {
        Self { root: self.root, at }.resolved()
    }

    /// Follows `$ref` inside the document; a reference out of it leads to anything.
    fn resolved(mut self) -> Self {
        for _ in 0..32 {
            let Some(target) = self.at.get("$ref").and_then(Value::as_str) else { return self };
            let Some(found) = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)) else {
                return Self { root: self.root, at: &Value::Bool(true) };
            };
            self.at = found;
        }
        self
    }

    /// The alternatives of `anyOf` and `oneOf`, or the schema itself; null alternatives come along.
    fn branches(self) -> Vec<Self> {
        let this = self.resolved();
        for key in ["anyOf", "oneOf"] {
            if let Some(any) = this.at.get(key).and_then(Value::as_array) {
                return any.iter().flat_map(|branch| this.with(branch).branches()).take(64).collect();
            }
        }
        vec![this]
    }

    /// The types that a value can have; empty = anything.
    pub(crate) fn types(self) -> Types {
        let mut types = Types::new();
        for branch in self.branches() {
            let own = branch.own_types();
            if own.is_empty() {
                return own;
            }
            types.extend(own);
        }
        types
    }

    fn own_types(self) -> Types {
        let name = |name: &str| NAMES.iter().find(|known| **known == name).copied();
        match self.at.get("type") {
            Some(Value::String(one)) => return name(one).into_iter().collect(),
            Some(Value::Array(some)) => return some.iter().filter_map(|one| name(one.as_str()?)).collect(),
            _ => {}
        }
        if let Some(constant) = self.at.get("const") {
            return Types::from([type_of(constant)]);
        }
        if let Some(values) = self.at.get("enum").and_then(Value::as_array) {
            return values.iter().map(type_of).collect();
        }
        if let Some(parts) = self.at.get("allOf").and_then(Value::as_array) {
            return parts
                .iter()
                .map(|part| self.with(part).types())
                .find(|types| !types.is_empty())
                .unwrap_or_default();
        }
        if self.at.get("properties").is_some() { Types::from(["object"]) } else { Types::new() }
    }

    /// What lies behind a step. Of several alternatives the first that has something there decides.
    pub(crate) fn step(self, step: &StepKind) -> Found<'s> {
        let mut fields = Vec::new();
        let mut inside = false;
        for branch in self.branches() {
            match branch.own_step(step) {
                Found::Schema(found) => return Found::Schema(found),
                Found::Anything => return Found::Anything,
                Found::NoField(known) => {
                    inside = true;
                    fields.extend(known);
                }
                Found::NotInside(_) => {}
            }
        }
        if inside { Found::NoField(fields) } else { Found::NotInside(self.types()) }
    }

    fn own_step(self, step: &StepKind) -> Found<'s> {
        let types = self.own_types();
        if types.is_empty() {
            return match self.at.get("allOf").and_then(Value::as_array).and_then(|parts| parts.first()) {
                Some(part) => self.with(part).step(step),
                None => Found::Anything,
            };
        }
        match step {
            StepKind::Key(key) if types.contains("object") => self.field(key),
            StepKind::Index(_) if types.contains("array") => self.items(),
            StepKind::Dynamic if types.contains("object") || types.contains("array") => Found::Anything,
            // Templates take `list[0]` and `list.0` but a text has characters alone.
            StepKind::Key(_) | StepKind::Index(_) | StepKind::Dynamic => Found::NotInside(types),
        }
    }

    fn field(self, key: &str) -> Found<'s> {
        let properties = self.at.get("properties").and_then(Value::as_object);
        if let Some(found) = properties.and_then(|properties| properties.get(key)) {
            return Found::Schema(self.with(found));
        }
        if let Some(parts) = self.at.get("allOf").and_then(Value::as_array) {
            for part in parts {
                if let Found::Schema(found) = self.with(part).step(&StepKind::Key(key.to_owned())) {
                    return Found::Schema(found);
                }
            }
        }
        match self.at.get("additionalProperties") {
            Some(Value::Object(_)) => {
                return self
                    .at
                    .get("additionalProperties")
                    .map_or(Found::Anything, |more| Found::Schema(self.with(more)));
            }
            Some(Value::Bool(true)) => return Found::Anything,
            _ => {}
        }
        if self.at.get("patternProperties").is_some() {
            return Found::Anything;
        }
        // An object with named properties is taken as complete: outputs are structs.
        match properties {
            Some(properties) if !properties.is_empty() => {
                Found::NoField(properties.keys().map(String::as_str).collect())
            }
            _ if self.at.get("additionalProperties") == Some(&Value::Bool(false)) => Found::NoField(Vec::new()),
            _ => Found::Anything,
        }
    }

    fn items(self) -> Found<'s> {
        match self.at.get("items") {
            Some(items @ Value::Object(_)) => Found::Schema(self.with(items)),
            _ => Found::Anything,
        }
    }

    /// Walks several steps; the index of the step at which it ends, and why, if it does.
    pub(crate) fn walk(self, steps: &[Step]) -> Result<Option<Self>, (usize, Vec<&'s str>, Types)> {
        let mut at = self.resolved();
        for (index, step) in steps.iter().enumerate() {
            match at.step(&step.kind) {
                Found::Schema(next) => at = next,
                Found::Anything => return Ok(None),
                Found::NoField(known) => return Err((index, known, Types::new())),
                Found::NotInside(types) => return Err((index, Vec::new(), types)),
            }
        }
        Ok(Some(at))
    }
}

/// The JSON type of a value.
pub(crate) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether a value of one of `given` can stand where one of `wanted` is asked for. A value that may be nothing is taken
/// for what it is otherwise: only the run shows.
pub(crate) fn fits(given: &Types, wanted: &Types) -> bool {
    let number = wanted.contains("number");
    let fits_one = |one: &'static str| {
        // A number may be whole, too.
        wanted.contains(one) || (number && one == "integer") || (one == "number" && wanted.contains("integer"))
    };
    given.is_empty()
        || wanted.is_empty()
        || given.iter().filter(|one| **one != "null").any(|one| fits_one(one))
        || (given.len() == 1 && given.contains("null") && wanted.contains("null"))
}

/// The types for a message: `a text`, `a list or nothing`.
pub(crate) fn describe(types: &Types) -> String {
    let (nothing, something): (Vec<&str>, Vec<&str>) = types.iter().partition(|name| **name == "null");
    let words: Vec<&str> = something
        .iter()
        .chain(&nothing)
        .map(|name| match *name {
            "null" => "nothing",
            "boolean" => "a boolean",
            "integer" => "a whole number",
            "number" => "a number",
            "string" => "a text",
            "array" => "a list",
            _ => "a map",
        })
        .collect();
    if words.is_empty() { "anything".to_owned() } else { words.join(" or ") }
}
