//! `with`: a task's parameters against the schema of its type. Strings with templates fit any place as long as the type that
//! they render to, where it is known, does.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};

use super::Cx;
use super::params::limited;
use super::references::{self, Names, Place};
use super::types::{Schema, Types, describe, fits};
use crate::catalog::Known;
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::suggest::nearest;
use crate::template::{Step, StepKind, is_template};
use crate::yaml::{Kind, Node};

/// Checks the parameters of one task. `node` is the value of `with`, if there is one; `place` stands for the task.
pub(crate) fn check(
    cx: &mut Cx<'_>,
    names: &Names<'_>,
    task: usize,
    known: Option<&Known>,
    node: Option<&Node>,
    place: Span,
) -> Map<String, Value> {
    let value = match node {
        None => Map::new(),
        Some(node) => {
            let Kind::Map(entries) = &node.kind else {
                cx.wrong_type(node, "`with` is a map of parameter to value");
                return Map::new();
            };
            let value = cx.json_map(entries);
            let schema = known.map(|known| Schema::of(&known.spec.params));
            templates(cx, names, Place::Task(task), node, schema, "with");
            value
        }
    };
    let Some(known) = known else { return value };
    match known.validator() {
        Ok(validator) => {
            let document = Value::Object(value);
            let mut fit = Fit { cx, known, root: node, place, document: &document };
            let errors: Vec<_> = validator.iter_errors(&document).collect();
            fit.report_all(&errors.iter().collect::<Vec<_>>());
            match document {
                Value::Object(value) => value,
                _ => Map::new(),
            }
        }
        Err(reason) => {
            let message = format!("the schema of task type `{}` is broken: {}", known.spec.name, limited(reason));
            cx.push(Diagnostic::new(Code::W502, place, message).hint("this is a mistake of the task type's author"));
            value
        }
    }
}

/// Checks every template under a node, and the type of each against the schema of its place.
pub(crate) fn templates(
    cx: &mut Cx<'_>,
    names: &Names<'_>,
    place: Place,
    node: &Node,
    schema: Option<Schema<'_>>,
    path: &str,
) {
    let behind = |step: StepKind| {
        let step = Step { kind: step, range: 0..0 };
        schema.and_then(|schema| schema.walk(std::slice::from_ref(&step)).ok().flatten())
    };
    match &node.kind {
        Kind::Broken => {}
        Kind::Scalar { text, .. } => {
            if !is_template(text) {
                return;
            }
            let given = references::check(cx, names, place, node);
            let wanted = schema.map(Schema::types).unwrap_or_default();
            if !fits(&given, &wanted) {
                wrong_template(cx, node, path, &given, &wanted);
            }
        }
        Kind::Seq(items) => {
            let schema = behind(StepKind::Index(0));
            for (index, item) in items.iter().enumerate() {
                templates(cx, names, place, item, schema, &format!("{path}[{index}]"));
            }
        }
        Kind::Map(entries) => {
            for entry in entries {
                if is_template(&entry.key) {
                    let message = "keys are taken literally: no template is evaluated here";
                    let found = Diagnostic::new(Code::W409, entry.key_span, message);
                    cx.push(found.hint("put the template into a value"));
                }
                let schema = behind(StepKind::Key(entry.key.clone()));
                templates(cx, names, place, &entry.value, schema, &format!("{path}.{}", entry.key));
            }
        }
    }
}

fn wrong_template(cx: &mut Cx<'_>, node: &Node, path: &str, given: &Types, wanted: &Types) {
    let message = format!("`{path}` is {}, and this renders to {}", describe(wanted), describe(given));
    let mut found = Diagnostic::new(Code::W407, node.span, message);
    let text = if let Kind::Scalar { text, .. } = &node.kind { text.trim() } else { "" };
    let one = text.matches("{{").count() == 1;
    if wanted.contains("string") {
        found = found.hint("make a text of it with a filter such as `| tojson` or `| join(', ')`");
    } else if one && text.starts_with("{{") && text.ends_with("}}") && wanted.iter().copied().eq(["boolean"]) {
        found = found.hint("compare it with something, as in `{{ … > 0 }}` or `{{ … != '' }}`");
    } else if one && given.contains("string") {
        found = found.hint("a value keeps its type only if it is nothing but one `{{ … }}`");
    }
    cx.push(node.locate(found));
}

struct Fit<'a, 'c, 'x> {
    cx: &'x mut Cx<'c>,
    known: &'a Known,
    root: Option<&'a Node>,
    place: Span,
    document: &'a Value,
}

impl<'a> Fit<'a, '_, '_> {
    /// Reports several errors; a parameter that is missing because its name has a slip is reported once.
    fn report_all(&mut self, errors: &[&ValidationError<'_>]) {
        for error in errors {
            let slip = match error.kind() {
                ValidationErrorKind::Required { property } => slips(errors, error.instance_path().as_str(), property),
                _ => false,
            };
            if !slip {
                self.report(error);
            }
        }
    }

    fn report(&mut self, error: &ValidationError<'_>) {
        let pointer = error.instance_path().as_str();
        let instance = self.document.pointer(pointer).unwrap_or(&Value::Null);
        if matches!(instance, Value::String(text) if is_template(text)) {
            return;
        }
        if self.find(pointer).1.is_some_and(|node| matches!(node.kind, Kind::Broken)) {
            return;
        }
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                for name in unexpected {
                    self.unknown_parameter(error, pointer, name);
                }
            }
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                let inside = if pointer.is_empty() { String::new() } else { format!(" in `{}`", path_of(pointer)) };
                let message = format!("`{}` needs the parameter `{name}`{inside}", self.known.spec.name);
                let (span, node) = self.find(pointer);
                let meaning = self.description(error, name);
                let found = Diagnostic::new(Code::W504, span, message).hint_if(meaning);
                self.push(found, node);
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                self.best_branch(error, context, instance);
            }
            ValidationErrorKind::OneOfMultipleValid { .. }
            | ValidationErrorKind::Not { .. }
            | ValidationErrorKind::Contains
            | ValidationErrorKind::UniqueItems
                if holds_template(instance) => {}
            ValidationErrorKind::Enum { options } => {
                let options: Vec<String> = options.as_array().into_iter().flatten().map(plain).collect();
                self.not_one_of(pointer, instance, &options);
            }
            ValidationErrorKind::Constant { expected_value } => {
                self.not_one_of(pointer, instance, &[plain(expected_value)]);
            }
            ValidationErrorKind::Type { .. } => self.wrong_type(error, pointer, instance),
            _ => {
                let message = format!("`{}` does not fit: {}", path_of(pointer), limited(&error.to_string()));
                let (span, node) = self.find(pointer);
                self.push(Diagnostic::new(Code::W502, span, message), node);
            }
        }
    }

    fn push(&mut self, found: Diagnostic, node: Option<&Node>) {
        self.cx.push(match node {
            Some(node) => node.locate(found),
            None => found,
        });
    }

    /// The schema object that holds the keyword of an error.
    fn holder(&self, error: &ValidationError<'_>) -> Option<&Value> {
        let path = error.schema_path().as_str();
        self.known.spec.params.pointer(&path[..path.rfind('/')?])
    }

    fn description(&self, error: &ValidationError<'_>, name: &str) -> Option<String> {
        let property = self.holder(error)?.get("properties")?.get(name)?;
        let text = property.get("description")?.as_str()?;
        let first = text.split("\n\n").next().unwrap_or(text).replace('\n', " ");
        Some(format!("`{name}`: {}", first.trim_end_matches('.')))
    }

    fn unknown_parameter(&mut self, error: &ValidationError<'_>, pointer: &str, name: &str) {
        let known: Vec<String> = self
            .holder(error)
            .and_then(|holder| holder.get("properties"))
            .and_then(Value::as_object)
            .map(|properties| properties.keys().cloned().collect())
            .unwrap_or_default();
        let inside = if pointer.is_empty() { String::new() } else { format!(" in `{}`", path_of(pointer)) };
        let message = format!("`{}` has no parameter `{}`{inside}", self.known.spec.name, self.cx.short(name));
        let span = self.key_span(pointer, name);
        let hint = if known.is_empty() { "it has none".to_owned() } else { format!("there are: {}", known.join(", ")) };
        let meant = nearest(name, known.iter().map(String::as_str));
        self.cx.push(Diagnostic::new(Code::W503, span, message).hint(hint).did_you_mean(meant));
    }

    fn not_one_of(&mut self, pointer: &str, instance: &Value, options: &[String]) {
        let written = plain(instance);
        let message = format!("`{}` cannot be `{}`", path_of(pointer), self.cx.short(&written));
        let (span, node) = self.find(pointer);
        let found = Diagnostic::new(Code::W502, span, message)
            .hint(format!("it is one of: {}", options.join(", ")))
            .did_you_mean(nearest(&written, options.iter().map(String::as_str)));
        self.push(found, node);
    }

    fn wrong_type(&mut self, error: &ValidationError<'_>, pointer: &str, instance: &Value) {
        let wanted = self.holder(error).map(|holder| Schema::of(holder).types()).unwrap_or_default();
        let given = Types::from([super::types::type_of(instance)]);
        let message = format!("`{}` is {}, and this is {}", path_of(pointer), describe(&wanted), describe(&given));
        let (span, node) = self.find(pointer);
        let mut found = Diagnostic::new(Code::W502, span, message);
        if let Some(Kind::Scalar { text, .. }) = node.map(|node| &node.kind) {
            let bare = ["boolean", "integer", "number"].into_iter().any(|kind| {
                wanted.contains(kind)
                    && serde_json::from_str::<Value>(text).is_ok_and(|value| super::types::type_of(&value) == kind)
            });
            if wanted.contains("string") && !instance.is_null() {
                found = found.hint("put it in quotes").replace(span, format!("\"{text}\""));
            } else if bare {
                found = found.hint("take it out of its quotes").replace(span, text.clone());
            } else if wanted.contains("boolean") && matches!(text.as_str(), "yes" | "on" | "True" | "TRUE") {
                found = found.did_you_mean(Some("true"));
            } else if wanted.contains("boolean") && matches!(text.as_str(), "no" | "off" | "False" | "FALSE") {
                found = found.did_you_mean(Some("false"));
            } else if wanted.contains("array") {
                found = found.hint("write a list").replace(span, format!("[{}]", self.cx.source.slice(span)));
            }
        }
        self.push(found, node);
    }

    /// Of several alternatives reports the one that was most likely meant, without what a template causes.
    fn best_branch(
        &mut self,
        error: &ValidationError<'_>,
        context: &[Vec<ValidationError<'static>>],
        instance: &Value,
    ) {
        let real = |error: &&ValidationError<'static>| !self.is_templated(error);
        let branches: Vec<Vec<&ValidationError<'static>>> =
            context.iter().map(|errors| errors.iter().filter(real).collect()).collect();
        if branches.iter().any(Vec::is_empty) {
            return;
        }
        let pointer = error.instance_path().as_str();
        // A branch whose tag differs was not meant; nor was one of another type.
        let meant = |errors: &[&ValidationError<'static>]| {
            errors
                .iter()
                .map(|error| {
                    let here = error.instance_path().as_str() == pointer;
                    match error.kind() {
                        // A slip in the name of the only field: `not_nul` for `not_null`.
                        ValidationErrorKind::Required { property } if here && slips(errors, pointer, property) => 0,
                        ValidationErrorKind::Type { .. } if here => 100,
                        ValidationErrorKind::Constant { .. } | ValidationErrorKind::Enum { .. } => 10,
                        ValidationErrorKind::Required { .. } if here => 3,
                        _ => 1,
                    }
                })
                .sum::<usize>()
        };
        let options: Vec<String> = branches
            .iter()
            .flatten()
            .filter(|error| error.instance_path().as_str() == pointer)
            .filter_map(|error| match error.kind() {
                ValidationErrorKind::Enum { options } => {
                    Some(options.as_array().into_iter().flatten().map(plain).collect::<Vec<_>>())
                }
                ValidationErrorKind::Constant { expected_value } => Some(vec![plain(expected_value)]),
                _ => None,
            })
            .flatten()
            .collect();
        if !options.is_empty() && instance.is_string() {
            return self.not_one_of(pointer, instance, &options);
        }
        let Some(best) = branches.iter().min_by_key(|errors| meant(errors)) else { return };
        if meant(best) >= 100 {
            let wanted = self.holder(error).map(|holder| Schema::of(holder).types()).unwrap_or_default();
            let given = Types::from([super::types::type_of(instance)]);
            let message = format!("`{}` is {}, and this is {}", path_of(pointer), describe(&wanted), describe(&given));
            let (span, node) = self.find(pointer);
            return self.push(Diagnostic::new(Code::W502, span, message), node);
        }
        self.report_all(best);
    }

    fn is_templated(&self, error: &ValidationError<'_>) -> bool {
        let instance = self.document.pointer(error.instance_path().as_str());
        matches!(instance, Some(Value::String(text)) if is_template(text))
    }

    /// The place of a value; that of its key if the value spans lines.
    fn find(&self, pointer: &str) -> (Span, Option<&'a Node>) {
        locate(self.cx, self.root, self.place, pointer)
    }

    fn key_span(&self, pointer: &str, name: &str) -> Span {
        let (span, node) = locate(self.cx, self.root, self.place, pointer);
        match node.map(|node| &node.kind) {
            Some(Kind::Map(entries)) => {
                entries.iter().find(|entry| entry.key == name).map_or(span, |entry| entry.key_span)
            }
            _ => span,
        }
    }
}

/// Whether an unexpected field among the errors at a place is nearly the missing one.
fn slips(errors: &[&ValidationError<'_>], pointer: &str, missing: &Value) -> bool {
    let Some(missing) = missing.as_str() else { return false };
    errors.iter().filter(|error| error.instance_path().as_str() == pointer).any(|error| match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            unexpected.iter().any(|name| nearest(name, [missing]).is_some())
        }
        _ => false,
    })
}

/// The node at a JSON pointer and the place to show for it.
fn locate<'n>(cx: &Cx<'_>, root: Option<&'n Node>, place: Span, pointer: &str) -> (Span, Option<&'n Node>) {
    let (mut at, mut span) = (root, place);
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        let (next, key) = match at.map(|node| &node.kind) {
            Some(Kind::Map(entries)) => {
                let found = entries.iter().find(|entry| entry.key == token);
                (found.map(|entry| &*entry.value), found.map(|entry| entry.key_span))
            }
            Some(Kind::Seq(items)) => {
                let found = token.parse::<usize>().ok().and_then(|index| items.get(index));
                (found.map(|item| &**item), None)
            }
            Some(Kind::Scalar { .. } | Kind::Broken) | None => (None, None),
        };
        let Some(next) = next else { return (span, at) };
        let shown = cx.source.slice(next.span);
        let one_line = !shown.is_empty() && !shown.contains('\n');
        span = if one_line { next.span } else { key.unwrap_or_else(|| first_line(cx, next.span)) };
        at = Some(next);
    }
    (span, at)
}

fn first_line(cx: &Cx<'_>, span: Span) -> Span {
    let length = cx.source.slice(span).find('\n').unwrap_or(span.end - span.start);
    Span::new(span.start, span.start + length)
}

/// `/rules/0/column` as people write it: `rules[0].column`; the root is `with`.
fn path_of(pointer: &str) -> String {
    let mut path = String::new();
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if token.parse::<usize>().is_ok() {
            path.push('[');
            path.push_str(&token);
            path.push(']');
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&token);
        }
    }
    if path.is_empty() { "with".to_owned() } else { path }
}

/// A value for a list of options: texts without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn holds_template(value: &Value) -> bool {
    match value {
        Value::String(text) => is_template(text),
        Value::Array(items) => items.iter().any(holds_template),
        Value::Object(map) => map.values().any(holds_template),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
