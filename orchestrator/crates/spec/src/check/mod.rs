//! From a tree to a [`Workflow`]: every rule that a file must keep, all broken ones reported at once.

mod graph;
mod keys;
mod params;
mod reach;
mod read;
mod references;
mod retry;
mod schedule;
mod task;
mod types;
mod with;
mod workflow;

use std::collections::BTreeMap;

use serde_json::Value;
use updraft_model::workflow::Workflow;

pub(crate) use keys::{CATCHUP, DEFAULTS, DST, RETRY, SCHEDULE, TASK, Table, WORKFLOW};
pub(crate) use params::limited;
pub(crate) use workflow::MAX_TASKS;

use crate::catalog::Catalog;
use crate::diagnostic::{Code, Diagnostic, Severity, Sink, Source, Span};
use crate::yaml;

/// What came out of checking a file.
#[derive(Debug)]
pub struct Checked {
    /// The workflow, if there is no error; warnings alone do not withhold it.
    pub workflow: Option<Workflow>,
    /// Everything found, in file order.
    pub diagnostics: Vec<Diagnostic>,
    /// The text, for showing the diagnostics.
    pub source: Source,
    /// The workflow's id and its place, also of a file with errors.
    id: Option<(String, Span)>,
}

impl Checked {
    /// Whether the file can be run.
    pub fn is_ok(&self) -> bool {
        self.diagnostics.iter().all(|found| found.severity != Severity::Error)
    }

    /// The workflow's id and where it stands, also of a file with errors.
    pub fn id(&self) -> Option<(&str, Span)> {
        self.id.as_ref().map(|(id, span)| (id.as_str(), *span))
    }
}

/// What is said of a file whose workflow `id` stands in the file `other` too.
pub fn defined_twice(id: &str, span: Span, other: &str) -> Diagnostic {
    Diagnostic::new(Code::W209, span, format!("the workflow `{id}` is defined in `{other}` too"))
        .hint("give one of them another id")
}

/// Everything that a check needs.
pub(crate) struct Cx<'c> {
    pub(crate) source: &'c Source,
    pub(crate) sink: &'c mut Sink,
    pub(crate) catalog: &'c Catalog,
    /// The workflow's id and its place, once it was read.
    pub(crate) id: Option<(String, Span)>,
}

impl Cx<'_> {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.sink.push(diagnostic);
    }

    /// A name or value for a message: printable, at most sixty characters.
    #[expect(clippy::unused_self, reason = "reads as a question to the context")]
    pub(crate) fn short(&self, text: &str) -> String {
        let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
        if text.chars().nth(60).is_some() {
            shown.push('…');
        }
        shown.replace("\\'", "'").replace("\\\"", "\"")
    }
}

/// Checks one file. `name` is how people know it.
pub fn check(name: &str, text: &str, catalog: &Catalog) -> Checked {
    let source = Source::new(name, text);
    let mut sink = Sink::default();
    let mut id = None;
    let workflow = yaml::parse(&source, &mut sink).and_then(|root| {
        let mut cx = Cx { source: &source, sink: &mut sink, catalog, id: None };
        let workflow = workflow::read(&mut cx, &root);
        id = cx.id;
        workflow
    });
    let workflow = workflow.filter(|_| sink.errors() == 0);
    let diagnostics = sink.finish(text.len());
    Checked { workflow, diagnostics, source, id }
}

/// Adds what only shows when the files of a project are looked at together: two files that define one workflow.
pub fn check_together(files: &mut [Checked]) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for file in files {
        let Some((id, span)) = file.id.clone() else { continue };
        // The same file may be named twice on a command line.
        if let Some(first) = seen.get(&id).filter(|first| *first != file.source.name()) {
            let found = defined_twice(&id, span, first);
            let at = file.diagnostics.partition_point(|other| other.span.start <= span.start);
            file.diagnostics.insert(at, found);
            file.workflow = None;
        } else {
            seen.insert(id, file.source.name().to_owned());
        }
    }
}

/// [`check`] for a file's bytes: what is not UTF-8 is a diagnostic too.
pub fn check_bytes(name: &str, bytes: &[u8], catalog: &Catalog) -> Checked {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return check(name, text, catalog),
        Err(error) => error,
    };
    let wide = bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]);
    let readable = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
    let source = Source::new(name, readable);
    let at = Span::new(readable.len(), readable.len());
    let message = if wide {
        "the file is UTF-16, and workflow files are UTF-8".to_owned()
    } else {
        format!("byte {} of the file is not UTF-8", error.valid_up_to() + 1)
    };
    let found = Diagnostic::new(Code::W002, at, message).hint("save the file as UTF-8");
    Checked { workflow: None, diagnostics: vec![found], source, id: None }
}

/// [`check`] for a file that is too large to be worth reading; `None` if its size, in bytes, is no hindrance.
pub fn check_size(name: &str, bytes: u64) -> Option<Checked> {
    let found = yaml::too_long(bytes)?;
    Some(Checked { workflow: None, diagnostics: vec![found], source: Source::new(name, ""), id: None })
}

/// Compiles a JSON Schema (2020-12 unless it says otherwise) that fetches nothing; patterns cannot backtrack.
pub(crate) fn compile(schema: &Value) -> Result<jsonschema::Validator, Box<jsonschema::ValidationError<'static>>> {
    jsonschema::options()
        .offline()
        .should_validate_formats(true)
        .should_ignore_unknown_formats(true)
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(schema)
        .map_err(Box::new)
}
