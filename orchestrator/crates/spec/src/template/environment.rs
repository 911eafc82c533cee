//! The minijinja environment: strict, bounded, without anything that reads the outside.

use std::ops::Range;
use std::sync::LazyLock;

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior};
use serde_json::Value;

use super::context::Context;
use super::error::{TemplateError, TemplateErrorKind};
use super::{MAX_OUTPUT_BYTES, filters};

/// Work that one value may cost: instructions, and 64 bytes of data each.
const FUEL: u64 = 200_000;
/// Nesting of macros and loops.
const RECURSION_LIMIT: usize = 64;

/// Filters that templates can use.
pub const FILTERS: &[&str] = &[
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "chain",
    "count",
    "d",
    "default",
    "dictsort",
    "first",
    "float",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "shell_quote",
    "slice",
    "sort",
    "split",
    "sql_ident",
    "sql_literal",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "urlencode",
    "zip",
];

/// Tests (`is …`) that templates can use.
pub const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "equalto",
    "even",
    "false",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "int",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
    "upper",
];

/// Functions that templates can call.
pub const FUNCTIONS: &[&str] = &["dict", "namespace", "range"];

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::new();
    env.set_syntax(super::SYNTAX.clone());
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_formatter(format_value);
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(RECURSION_LIMIT);
    // Errors carry byte ranges only in debug mode.
    env.set_debug(true);
    // It would print the whole context.
    env.remove_global("debug");
    // HTML has no place in SQL, shells or JSON.
    for name in ["safe", "escape", "e"] {
        env.remove_filter(name);
    }
    for name in ["safe", "escaped", "filter", "test"] {
        env.remove_test(name);
    }
    filters::add_to(&mut env);
    env
});

/// Writes a value into a text. Jinja would write Python's `None` and `True`, which is wrong in SQL, JSON and shells alike.
fn format_value(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &minijinja::Value) -> Result<(), minijinja::Error> {
    match value.kind() {
        ValueKind::None => out.write_str("null")?,
        ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" })?,
        ValueKind::Number => write!(out, "{value}")?,
        ValueKind::String => out.write_str(value.as_str().unwrap_or_default())?,
        ValueKind::Undefined => return Err(ErrorKind::UndefinedError.into()),
        ValueKind::Bytes | ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::Plain => {
            return Err(refusal(value));
        }
        _ => return Err(refusal(value)),
    }
    Ok(())
}

fn refusal(value: &minijinja::Value) -> minijinja::Error {
    minijinja::Error::new(
        ErrorKind::InvalidOperation,
        format!("a {} cannot stand inside a text: add `| tojson` or `| join(', ')`", value.kind()),
    )
}

/// Evaluates the expression at `range` of `source` with its native type.
pub(super) fn evaluate(source: &str, range: Range<usize>, context: &Context) -> Result<Value, TemplateError> {
    let expression = source[range.clone()].trim();
    let offset = expression.as_ptr() as usize - source.as_ptr() as usize;
    let range = offset..offset + expression.len();
    let fail = |error: &minijinja::Error| TemplateError::of(error, source, offset);
    let value = ENVIRONMENT
        .compile_expression_owned(expression.to_owned())
        .and_then(|compiled| compiled.eval(context.value()))
        .map_err(|error| fail(&error))?;
    if value.is_undefined() {
        let message = format!("`{expression}` has no value");
        return Err(TemplateError::new(TemplateErrorKind::Undefined, message, Some(range))
            .hint("give it one with `| default(…)` if that may happen"));
    }
    if let Some(number) = f64::try_from(value.clone()).ok().filter(|number| !number.is_finite()) {
        let message = format!("`{expression}` is {number}, which JSON cannot hold");
        return Err(TemplateError::new(TemplateErrorKind::Value, message, Some(range)));
    }
    serde_json::to_value(&value).map_err(|error| {
        let message = format!("`{expression}` is not data: {error}");
        TemplateError::new(TemplateErrorKind::Value, message, Some(range))
    })
}

/// Renders a text.
pub(super) fn render(source: &str, context: &Context) -> Result<String, TemplateError> {
    let text = ENVIRONMENT
        .render_named_str("value", source, context.value())
        .map_err(|error| TemplateError::of(&error, source, 0))?;
    if text.len() > MAX_OUTPUT_BYTES {
        let message = format!("the text is {} bytes long, more than {MAX_OUTPUT_BYTES}", text.len());
        return Err(TemplateError::new(TemplateErrorKind::Budget, message, None));
    }
    Ok(text)
}

/// Whether a filter of that name exists.
pub(super) fn has_filter(name: &str) -> bool {
    FILTERS.contains(&name)
}

/// Whether a test of that name exists; operators (`is ==`) are no names that people write.
pub(super) fn has_test(name: &str) -> bool {
    TESTS.contains(&name)
}

/// Whether a function of that name exists.
pub(super) fn has_function(name: &str) -> bool {
    FUNCTIONS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_of_names_are_those_of_the_environment() {
        let mut state = ENVIRONMENT.empty_state();
        for name in FILTERS {
            let unknown = state.apply_filter(name, &[]).is_err_and(|error| error.kind() == ErrorKind::UnknownFilter);
            assert!(!unknown, "no filter {name}");
        }
        for name in TESTS {
            let unknown = state.perform_test(name, &[]).is_err_and(|error| error.kind() == ErrorKind::UnknownTest);
            assert!(!unknown, "no test {name}");
        }
        let mut functions: Vec<&str> = ENVIRONMENT.globals().map(|(name, _)| name).collect();
        functions.sort_unstable();
        assert_eq!(functions, FUNCTIONS);
    }
}
