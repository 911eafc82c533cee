//! The machine form: `updraft check --json`.

use serde::Serialize;

use super::{Diagnostic, Severity, Source};

/// A diagnostic as JSON; lines and columns count from 1, columns in characters, the end is exclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JsonDiagnostic {
    /// Name of the file.
    pub file: String,
    /// Line of the first character.
    pub line: usize,
    /// Column of the first character.
    pub column: usize,
    /// Line of the first character after.
    pub end_line: usize,
    /// Column of the first character after.
    pub end_column: usize,
    /// Such as `W201`.
    pub code: &'static str,
    /// `error` or `warning`.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// What to write instead of the place.
    pub suggestion: Option<String>,
}

/// The document that `check --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JsonReport {
    /// No error in any file.
    pub ok: bool,
    /// Files checked.
    pub files: usize,
    /// All of them, in file order.
    pub diagnostics: Vec<JsonDiagnostic>,
}

impl Diagnostic {
    /// As JSON.
    pub fn to_json(&self, source: &Source) -> JsonDiagnostic {
        let (start, end) = (source.position(self.span.start), source.position(self.span.end));
        JsonDiagnostic {
            file: source.name().to_owned(),
            line: start.line,
            column: start.column,
            end_line: end.line,
            end_column: end.column,
            code: self.code.name(),
            severity: self.severity,
            message: self.message.clone(),
            hint: self.hint.clone(),
            suggestion: self.suggestion.as_ref().map(|suggestion| suggestion.text.clone()),
        }
    }
}

/// The report on several files.
pub fn report<'c>(files: impl IntoIterator<Item = (&'c Source, &'c [Diagnostic])>) -> JsonReport {
    let mut report = JsonReport { ok: true, files: 0, diagnostics: Vec::new() };
    for (source, diagnostics) in files {
        report.files += 1;
        report.ok &= diagnostics.iter().all(|found| found.severity != Severity::Error);
        report.diagnostics.extend(diagnostics.iter().map(|found| found.to_json(source)));
    }
    report
}
