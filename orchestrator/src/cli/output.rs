//! The only place that prints.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::presets;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;
use updraft_model::state::{RunState, TaskRunState};

use crate::exit_code::Failure;

/// Prints text as it is. A reader that went away (`| head`) is no error.
pub fn text(text: &str) {
    quietly(anstream::stdout().write_all(text.as_bytes()));
}

/// Prints a line.
pub fn line(line: &str) {
    quietly(writeln!(anstream::stdout(), "{line}"));
}

/// Prints a line to standard error: progress, warnings.
pub fn note(line: &str) {
    quietly(writeln!(anstream::stderr(), "{line}"));
}

/// Prints one JSON document.
pub fn json(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document)
        .map_err(|error| Failure::input(format!("the answer is not JSON: {error}")))?;
    quietly(writeln!(io::stdout(), "{text}"));
    Ok(())
}

/// Prints one JSON document on one line.
pub fn json_line(document: &impl Serialize) -> Result<(), Failure> {
    let text =
        serde_json::to_string(document).map_err(|error| Failure::input(format!("the answer is not JSON: {error}")))?;
    quietly(writeln!(io::stdout(), "{text}"));
    Ok(())
}

fn quietly(result: io::Result<()>) {
    if let Err(error) = result
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        tracing::warn!(%error, "cannot print");
    }
}

/// Prints a failure to standard error.
pub fn failure(failure: &Failure) {
    if failure.message.is_empty() {
        return;
    }
    note(&format!("{}: {}", paint("error", RED.bold()), failure.message));
    if let Some(hint) = &failure.hint {
        note(&format!("{}: {hint}", paint("help", CYAN.bold())));
    }
}

/// Prints a warning to standard error.
pub fn warning(message: &str) {
    note(&format!("{}: {message}", paint("warning", YELLOW.bold())));
}

const RED: Style = AnsiColor::Red.on_default();
const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const CYAN: Style = AnsiColor::Cyan.on_default();
const GREY: Style = AnsiColor::BrightBlack.on_default();

/// Text in a style; what prints it takes the style away where colour is not wanted.
pub fn paint(text: &str, style: Style) -> String {
    format!("{style}{text}{style:#}")
}

/// Dim text.
pub fn dim(text: &str) -> String {
    paint(text, GREY)
}

/// A task run's state with its colour.
pub fn task_state(state: TaskRunState) -> String {
    paint(state.name(), task_style(state))
}

/// A sign for a task run's state; shape and colour both tell.
pub fn task_sign(state: TaskRunState) -> String {
    let sign = match state {
        TaskRunState::Waiting => "·",
        TaskRunState::Ready => "○",
        TaskRunState::Running => "●",
        TaskRunState::RetryWait => "↻",
        TaskRunState::Deferred => "…",
        TaskRunState::Succeeded => "✓",
        TaskRunState::Failed => "✗",
        TaskRunState::Skipped => "↷",
        TaskRunState::UpstreamFailed => "⊘",
        TaskRunState::Cancelled => "■",
        TaskRunState::Removed => "−",
    };
    paint(sign, task_style(state))
}

/// A log line's level, padded and in its colour.
pub fn level(level: updraft_task::Level, name: &str) -> String {
    let style = match level {
        updraft_task::Level::Debug => GREY,
        updraft_task::Level::Info => Style::new(),
        updraft_task::Level::Warn => YELLOW,
        updraft_task::Level::Error => RED,
    };
    paint(&format!("{name:<5}"), style)
}

fn task_style(state: TaskRunState) -> Style {
    match state {
        TaskRunState::Succeeded => GREEN,
        TaskRunState::Failed | TaskRunState::UpstreamFailed => RED,
        TaskRunState::RetryWait | TaskRunState::Skipped => YELLOW,
        TaskRunState::Running | TaskRunState::Ready => CYAN,
        TaskRunState::Waiting | TaskRunState::Deferred | TaskRunState::Cancelled | TaskRunState::Removed => GREY,
    }
}

/// A run's state with its colour.
pub fn run_state(state: RunState) -> String {
    let style = match state {
        RunState::Succeeded => GREEN,
        RunState::Failed | RunState::Broken => RED,
        RunState::Running | RunState::Queued => CYAN,
        RunState::Cancelling | RunState::Cancelled => GREY,
    };
    paint(state.name(), style)
}

/// Prints rows under headings, without lines; cells may carry styles.
pub fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().map(|heading| dim(heading)));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for row in table.lines() {
        line(row.trim_end());
    }
}

/// Seconds as people read them: `840 ms`, `12.4 s`, `3 m 05 s`.
pub fn seconds(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1e3)
    } else if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{:.0} m {:02.0} s", (seconds / 60.0).floor(), (seconds % 60.0).floor())
    }
}

/// A count of things: `1 file`, `2 files`.
pub fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

/// A count with thousands apart: `1,744`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_744), "1,744");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(seconds(0.0123), "12 ms");
        assert_eq!(seconds(12.44), "12.4 s");
        assert_eq!(seconds(185.2), "3 m 05 s");
    }
}
