//! Conditions: one `{{ expression }}` that is true or false, and in words why.

use serde_json::Value;

use super::error::{TemplateError, TemplateErrorKind};
use super::{Context, Form, Template};

/// Most values that the words name.
const MOST_READS: usize = 5;
/// Most characters of each.
const READ_CHARS: usize = 60;

/// What a condition came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// It is true.
    pub met: bool,
    /// The expression, what it came to, and what it read: "`params.engine == 'spark'` is false, where params.engine is
    /// \"local\"".
    pub words: String,
}

/// Evaluates a condition. Only `true` and `false` are answers: an empty text or a zero is a mistake that is told, since
/// nobody sees a task that was left out by accident.
///
/// # Errors
/// As [`Template::render`], and if the value is neither.
pub fn condition(source: &str, context: &Context) -> Result<Condition, TemplateError> {
    let template = Template::parse(source)?;
    let expression = match &template.form {
        Form::Expression(range) => source[range.clone()].trim(),
        Form::Plain | Form::Text => source.trim(),
    };
    match template.render(context)? {
        Value::Bool(met) => Ok(Condition { met, words: words(&template, expression, met, context) }),
        other => {
            let message = format!("`{expression}` is {}, neither true nor false", shown(&other));
            let error = TemplateError::new(TemplateErrorKind::Value, message, None);
            Err(error
                .hint("compare it with something, as in `{{ rows > 0 }}`, `{{ name != '' }}`, `{{ x is defined }}`"))
        }
    }
}

fn words(template: &Template, expression: &str, met: bool, context: &Context) -> String {
    let mut reads: Vec<(&str, String)> = Vec::new();
    for reference in template.references() {
        let Some(name) = template.source().get(reference.range.clone()) else { continue };
        if reads.len() == MOST_READS || reads.iter().any(|(known, _)| *known == name) {
            continue;
        }
        // What has no value was asked for by `is defined` or `default`.
        let value = Template::parse(&format!("{{{{ {name} }}}}")).and_then(|read| read.render(context));
        reads.push((name, value.map_or_else(|_| "not there".to_owned(), |value| shown(&value))));
    }
    let reads: Vec<String> = reads.into_iter().map(|(name, value)| format!("{name} is {value}")).collect();
    let whereof = if reads.is_empty() { String::new() } else { format!(", where {}", reads.join(" and ")) };
    format!("`{expression}` is {met}{whereof}")
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(READ_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
