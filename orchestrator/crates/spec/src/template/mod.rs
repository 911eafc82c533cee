//! Templates: the one place that decides what `{{ … }}` means, shared by the checks (before anything runs) and the engine
//! (when a task starts).
//!
//! *Values* are rendered after YAML was parsed, never the file's text. A string that is exactly one `{{ expression }}`
//! keeps the native type of the expression (a list stays a list); any other string with `{{` or `{%` becomes a text.
//! Rendering is strict (an undefined value is an error), bounded by fuel, and knows no clock, file, network or secret.

mod condition;
mod context;
mod environment;
mod error;
mod filters;
mod reference;

use std::ops::Range;
use std::sync::LazyLock;

use minijinja::machinery::{self, Token, ast};
use minijinja::syntax::SyntaxConfig;
use serde_json::{Map, Value};

pub use condition::{Condition, condition};
pub use context::{Context, ContextBuilder, NAMES, Name};
pub use environment::{FILTERS, FUNCTIONS, TESTS};
pub use error::{TemplateError, TemplateErrorKind};
pub use reference::{Reference, Step, StepKind};

/// Longest text that one template may make, in bytes.
pub const MAX_OUTPUT_BYTES: usize = 1 << 20;

/// Longest string that is taken as a template, in bytes.
pub const MAX_SOURCE_BYTES: usize = 1 << 17;
/// Most tokens of one `{{ … }}` or `{% … %}`: a chain of that many look-ups nests as deep.
const MAX_TOKENS: usize = 1_000;

/// How templates are written: Jinja's way, and a line break at the end stays.
static SYNTAX: LazyLock<SyntaxConfig> = LazyLock::new(|| {
    SyntaxConfig::builder().keep_trailing_newline(true).build().expect("the delimiters are the usual ones")
});

/// A string of a workflow, parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    source: String,
    form: Form,
    references: Vec<Reference>,
    sole: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// No template syntax: stands for itself.
    Plain,
    /// Exactly one `{{ expression }}`, white space around it apart; the range is the expression's.
    Expression(Range<usize>),
    /// Text with expressions or statements in it.
    Text,
}

/// Whether a string has template syntax and so is not taken literally.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

impl Template {
    /// Parses a string. A string without template syntax is a template that renders to itself.
    ///
    /// # Errors
    /// Syntax errors, statements that are not available, unknown filters, tests and functions; the first of them, with
    /// its byte range in `source`. See [`Template::problems`] for all.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let (template, mut problems) = Self::problems(source)?;
        if problems.is_empty() { Ok(template) } else { Err(problems.swap_remove(0)) }
    }

    /// Parses a string and lists all that is wrong with it apart from its syntax.
    ///
    /// # Errors
    /// A syntax error, at which parsing stops.
    pub fn problems(source: &str) -> Result<(Self, Vec<TemplateError>), TemplateError> {
        let plain = |form| Self { source: source.to_owned(), form, references: Vec::new(), sole: None };
        if !is_template(source) {
            return Ok((plain(Form::Plain), Vec::new()));
        }
        within_bounds(source)?;
        let tree =
            machinery::parse(source, "value", SYNTAX.clone()).map_err(|error| TemplateError::of(&error, source, 0))?;
        let found = reference::walk(&tree, source);
        let form = sole_expression(&tree, source).map_or(Form::Text, Form::Expression);
        let sole = match &form {
            Form::Expression(_) => found.sole,
            Form::Plain | Form::Text => None,
        };
        Ok((Self { references: found.references, sole, ..plain(form) }, found.problems))
    }

    /// The string as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it has no template syntax at all.
    pub fn is_plain(&self) -> bool {
        self.form == Form::Plain
    }

    /// Whether it is exactly one expression, whose native type the value keeps.
    pub fn is_expression(&self) -> bool {
        matches!(self.form, Form::Expression(_))
    }

    /// What it reads from its context, in order; local names of loops and `set` are left out.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// The reference that is the whole value (`{{ tasks.a.output.rows }}`, no filter, no operator), if it is one.
    pub fn sole_reference(&self) -> Option<&Reference> {
        self.sole.and_then(|at| self.references.get(at))
    }

    /// Renders it.
    ///
    /// # Errors
    /// An undefined name, a value that cannot stand in a text, a filter's refusal, or fuel used up.
    pub fn render(&self, context: &Context) -> Result<Value, TemplateError> {
        match &self.form {
            Form::Plain => Ok(Value::String(self.source.clone())),
            Form::Expression(range) => environment::evaluate(&self.source, range.clone(), context),
            Form::Text => environment::render(&self.source, context).map(Value::String),
        }
    }
}

/// Renders every string inside a value; map keys are taken literally.
///
/// # Errors
/// The first failure, with the JSON pointer of the string inside `value`.
pub fn render_value(value: &Value, context: &Context) -> Result<Value, TemplateError> {
    render_at(value, context, &mut String::new())
}

/// [`render_value`] for a map such as a task's `with`.
///
/// # Errors
/// As [`render_value`].
pub fn render_map(map: &Map<String, Value>, context: &Context) -> Result<Map<String, Value>, TemplateError> {
    render_map_at(map, context, &mut String::new())
}

fn render_map_at(
    map: &Map<String, Value>,
    context: &Context,
    pointer: &mut String,
) -> Result<Map<String, Value>, TemplateError> {
    map.iter()
        .map(|(key, value)| {
            let length = pointer.len();
            pointer.push('/');
            pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            let rendered = render_at(value, context, pointer)?;
            pointer.truncate(length);
            Ok((key.clone(), rendered))
        })
        .collect()
}

fn render_at(value: &Value, context: &Context, pointer: &mut String) -> Result<Value, TemplateError> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(value.clone()),
        Value::String(text) if !is_template(text) => Ok(value.clone()),
        Value::String(text) => {
            Template::parse(text).and_then(|template| template.render(context)).map_err(|error| error.at(pointer))
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                let length = pointer.len();
                pointer.push('/');
                pointer.push_str(&index.to_string());
                let rendered = render_at(item, context, pointer)?;
                pointer.truncate(length);
                Ok(rendered)
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        Value::Object(map) => render_map_at(map, context, pointer).map(Value::Object),
    }
}

/// Refuses what would cost too much to parse. Syntax errors are left to the parser.
fn within_bounds(source: &str) -> Result<(), TemplateError> {
    let refused = |message: String, range| Err(TemplateError::new(TemplateErrorKind::Budget, message, range));
    if source.len() > MAX_SOURCE_BYTES {
        return refused(format!("a template is at most {MAX_SOURCE_BYTES} bytes long, not {}", source.len()), None);
    }
    if source.len() <= MAX_TOKENS {
        return Ok(());
    }
    let mut tokens = 0;
    for token in machinery::tokenize(source, false, SYNTAX.clone()) {
        let Ok((token, span)) = token else { return Ok(()) };
        match token {
            Token::VariableStart | Token::BlockStart | Token::TemplateData(_) => tokens = 0,
            _ => tokens += 1,
        }
        if tokens > MAX_TOKENS {
            let at = span.start_offset as usize;
            return refused(format!("one expression has at most {MAX_TOKENS} parts"), Some(at..at));
        }
    }
    Ok(())
}

/// The range of the expression, if the template is one `{{ … }}` with nothing but white space around it.
fn sole_expression(tree: &ast::Stmt<'_>, source: &str) -> Option<Range<usize>> {
    let ast::Stmt::Template(template) = tree else { return None };
    let mut expressions = 0;
    for child in &template.children {
        match child {
            ast::Stmt::EmitExpr(_) => expressions += 1,
            ast::Stmt::EmitRaw(raw) if raw.raw.trim().is_empty() => {}
            _ => return None,
        }
    }
    let trimmed = source.trim();
    let inner = trimmed.strip_prefix("{{")?.strip_suffix("}}")?;
    // A comment `{# … #}` leaves no node behind: the text must begin and end with this one expression.
    if expressions != 1 {
        return None;
    }
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    let inner = inner.strip_suffix(['-', '+']).unwrap_or(inner);
    let start = inner.as_ptr() as usize - source.as_ptr() as usize;
    Some(start..start + inner.len())
}

#[cfg(test)]
mod tests;
