//! Messages in the project's own words: templates that `notify` renders itself, since those in the workflow file were rendered before
//! the task began.

use std::io;

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use updraft_task::{Context, TaskError};

use super::report::Report;

/// Largest template and largest message, in bytes.
pub(super) const LARGEST: usize = 64 * 1024;
/// Work that one message may cost.
const FUEL: u64 = 500_000;
const SUBJECT: &str = "subject";

/// A message, ready for every channel.
#[derive(Debug)]
pub(super) struct Message {
    /// One line.
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: Option<String>,
    /// The text is the project's own.
    pub(super) own_words: bool,
}

/// The templates of a task.
pub(super) struct Templates {
    environment: Environment<'static>,
    subject: bool,
    text: Option<String>,
    html: Option<String>,
}

fn is_html(name: &str) -> bool {
    std::path::Path::new(name)
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("html") || ending.eq_ignore_ascii_case("htm"))
}

fn bad(place: &str, reason: &str) -> TaskError {
    TaskError::fail("BadTemplate", format!("{place}: {reason}"))
}

/// File, line, reason; of values nothing, but of the template the expression.
fn fault(error: &minijinja::Error) -> TaskError {
    let place = error.name().unwrap_or(SUBJECT);
    let place = error.line().map_or_else(|| place.to_owned(), |line| format!("{place}:{line}"));
    let mut reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let expression = error.range().and_then(|range| error.template_source()?.get(range));
    if let Some(expression) = expression.filter(|expression| expression.len() <= 200) {
        reason = format!("`{expression}`: {reason}");
    }
    if error.kind() == ErrorKind::UndefinedError {
        reason.push_str(
            "; the names are workflow, state, previous_state, previous_run, change, run, logical_date, text and tasks \
             (id, state, error_class, error, duration_s, allow_failure)",
        );
    }
    bad(&place, &reason)
}

impl Templates {
    /// Reads and parses them, so that a mistake shows on the first run and not on the first failure.
    pub(super) async fn read(subject: Option<&str>, files: &[String], ctx: &Context) -> Result<Self, TaskError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|name| if is_html(name) { AutoEscape::Html } else { AutoEscape::None });
        environment.set_fuel(Some(FUEL));
        // Errors name the expression in debug mode only; what else it knows is not shown.
        environment.set_debug(true);
        let mut templates = Self { environment, subject: subject.is_some(), text: None, html: None };
        if let Some(subject) = subject {
            templates.add(SUBJECT, subject.to_owned())?;
        }
        for file in files {
            let (place, kind) =
                if is_html(file) { (&mut templates.html, "HTML") } else { (&mut templates.text, "text") };
            if let Some(other) = place.replace(file.clone()) {
                return Err(bad(file, &format!("`{other}` is the {kind} template already: give one of each")));
            }
            let source = source(file, ctx).await?;
            templates.add(file, source)?;
        }
        Ok(templates)
    }

    fn add(&mut self, name: &str, source: String) -> Result<(), TaskError> {
        self.environment.add_template_owned(name.to_owned(), source).map_err(|error| fault(&error))
    }

    /// The message for one channel.
    pub(super) fn message(&self, report: &Report<'_>) -> Result<Message, TaskError> {
        let subject =
            if self.subject { self.render(SUBJECT, report)? } else { format!("[updraft] {}", report.headline()) };
        let text = match &self.text {
            Some(name) => self.render(name, report)?,
            None => cut(report.words(), LARGEST),
        };
        let html = self.html.as_ref().map(|name| self.render(name, report)).transpose()?;
        Ok(Message { subject: one_line(&subject), text, html, own_words: self.text.is_some() })
    }

    fn render(&self, name: &str, report: &Report<'_>) -> Result<String, TaskError> {
        let template = self.environment.get_template(name).map_err(|error| fault(&error))?;
        let mut bytes = Bounded(Vec::new());
        match template.render_captured_to(report.names(), &mut bytes) {
            Ok(_) => Ok(String::from_utf8_lossy(&bytes.0).into_owned()),
            Err(error) if error.kind() == ErrorKind::WriteFailure => {
                Err(bad(name, &format!("the message has more than {LARGEST} bytes")))
            }
            Err(error) => Err(fault(&error)),
        }
    }
}

/// A template of the project; not of a place outside it.
async fn source(file: &str, ctx: &Context) -> Result<String, TaskError> {
    let broken = |error: io::Error| bad(file, &format!("cannot be read: {error}"));
    let project = tokio::fs::canonicalize(&ctx.run().project_dir).await.map_err(broken)?;
    let path = tokio::fs::canonicalize(ctx.path(file)).await.map_err(broken)?;
    if !path.starts_with(&project) {
        return Err(bad(file, "lies outside the project: templates are files of the project's folder"));
    }
    let bytes = tokio::fs::read(&path).await.map_err(broken)?;
    if bytes.len() > LARGEST {
        return Err(bad(file, &format!("has {} bytes; a template has at most {LARGEST}", bytes.len())));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
        bad(&format!("{file}:{line}"), "is not UTF-8")
    })
}

/// A subject has one line: what would begin another header becomes a space.
fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(250).collect()
}

/// At most so many bytes, with a note if something is left out.
pub(super) fn cut(mut text: String, bytes: usize) -> String {
    const NOTE: &str = "\n… (cut)";
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes.saturating_sub(NOTE.len())));
        text.push_str(NOTE);
    }
    text
}

/// A message that refuses to become too large.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LARGEST {
            return Err(io::Error::other("too large"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
