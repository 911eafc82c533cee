//! What can go wrong in a template, in our words.

use std::fmt;
use std::ops::Range;

/// Why a template was refused or could not be rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateErrorKind {
    /// It cannot be parsed.
    Syntax,
    /// A filter, test or function that does not exist.
    Unknown,
    /// A statement that values may not use (`include`, `extends`, …).
    Forbidden,
    /// A name or field without a value.
    Undefined,
    /// More work or output than one value may cost.
    Budget,
    /// An operation or filter refused its input.
    Value,
}

/// A template's error: what, where in the string, and how to put it right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// Which sort.
    pub kind: TemplateErrorKind,
    /// One sentence without a full stop.
    pub message: String,
    /// Byte range in the string.
    pub range: Option<Range<usize>>,
    /// What to do about it.
    pub hint: Option<String>,
    /// What to write instead of the range, if that is known.
    pub suggestion: Option<String>,
    /// JSON pointer of the string inside the rendered value; empty if the string is the value.
    pub pointer: Box<str>,
}

impl std::error::Error for TemplateError {}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer.trim_start_matches('/').replace('/', "."))?;
        }
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl TemplateError {
    pub(super) fn new(kind: TemplateErrorKind, message: impl Into<String>, range: Option<Range<usize>>) -> Self {
        Self { kind, message: message.into(), range, hint: None, suggestion: None, pointer: Box::default() }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn suggest(mut self, suggestion: Option<&str>) -> Self {
        if let Some(suggestion) = suggestion {
            self.hint = Some(format!("did you mean `{suggestion}`?"));
            self.suggestion = Some(suggestion.to_owned());
        }
        self
    }

    pub(super) fn at(mut self, pointer: &str) -> Self {
        self.pointer = pointer.into();
        self
    }

    /// From the engine's error about `source`; its ranges count from `offset`.
    pub(super) fn of(error: &minijinja::Error, source: &str, offset: usize) -> Self {
        use minijinja::ErrorKind as Kind;
        let range = error
            .range()
            .map(|range| (range.start + offset).min(source.len())..(range.end + offset).min(source.len()))
            .filter(|range| range.start <= range.end && source.is_char_boundary(range.start));
        let written = range.clone().and_then(|range| source.get(range)).map(str::trim).unwrap_or_default();
        let detail = error.detail().unwrap_or_default();
        let described = |fallback: &str| if detail.is_empty() { fallback.to_owned() } else { detail.to_owned() };
        match error.kind() {
            Kind::SyntaxError => Self::new(TemplateErrorKind::Syntax, described("not a template"), range),
            Kind::UndefinedError if written.is_empty() => {
                Self::new(TemplateErrorKind::Undefined, described("an undefined value is used"), range)
            }
            Kind::UndefinedError => Self::new(TemplateErrorKind::Undefined, format!("`{written}` has no value"), range)
                .hint("give it one with `| default(…)` if that may happen"),
            Kind::OutOfFuel => {
                Self::new(TemplateErrorKind::Budget, "the template does more work than one value may cost", range)
                    .hint("move the loop into a task")
            }
            Kind::UnknownFilter | Kind::UnknownTest | Kind::UnknownFunction | Kind::UnknownMethod => {
                Self::new(TemplateErrorKind::Unknown, described("no such filter, test or function"), range)
            }
            _ => Self::new(TemplateErrorKind::Value, described(&error.kind().to_string()), range),
        }
    }
}
