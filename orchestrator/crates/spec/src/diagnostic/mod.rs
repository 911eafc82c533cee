//! What is wrong with a file: one form for people, machines and editors. Nothing here knows what a workflow is.

mod code;
mod index;
mod json;
mod render;
mod sink;
mod source;

pub use code::{CODES, Code};
pub use index::errors_index;
pub use json::{JsonDiagnostic, JsonReport, report};
pub use render::render;
pub(crate) use sink::Sink;
pub use source::{Position, Source, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be run.
    Error,
    /// The file can be run; something in it is likely not meant.
    Warning,
}

/// A second place that explains the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is there.
    pub text: String,
}

/// What to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// The text that it replaces.
    pub span: Span,
    /// The new text.
    pub text: String,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which rule; the code has a page in `docs/errors/`.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// One sentence without a full stop.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What stands there, said at the place.
    pub label: Option<String>,
    /// Other places that matter.
    pub labels: Vec<Label>,
    /// What to do.
    pub hint: Option<String>,
    /// What to write instead, if that is known.
    pub suggestion: Option<Suggestion>,
}

impl Diagnostic {
    /// A diagnostic with the severity of its code.
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            message: message.into(),
            span,
            label: None,
            labels: Vec::new(),
            hint: None,
            suggestion: None,
        }
    }

    /// Says what stands at the place.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = Some(text.into());
        self
    }

    /// Adds another place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        self.hint = Some(text.into());
        self
    }

    /// Says what to do, if there is something to say.
    #[must_use]
    pub fn hint_if(mut self, text: Option<impl Into<String>>) -> Self {
        self.hint = text.map(Into::into).or(self.hint);
        self
    }

    /// Proposes to replace the text at `span`.
    #[must_use]
    pub fn replace(mut self, span: Span, text: impl Into<String>) -> Self {
        self.suggestion = Some(Suggestion { span, text: text.into() });
        self
    }

    /// "Did you mean": proposes to replace the text at the place, and says so.
    #[must_use]
    pub fn did_you_mean(self, candidate: Option<&str>) -> Self {
        match candidate {
            Some(candidate) => {
                let span = self.span;
                self.hint(format!("did you mean `{candidate}`?")).replace(span, candidate)
            }
            None => self,
        }
    }
}
