//! Logs.

use updraft_store::logs;

use crate::dto::{FirstError, LogLevel, LogLine, LogPage, LogStream, Time};

pub(crate) fn line_of(line: &logs::LogLine) -> LogLine {
    LogLine {
        at: line.at.map(Time),
        level: match line.level {
            logs::LogLevel::Debug => LogLevel::Debug,
            logs::LogLevel::Info => LogLevel::Info,
            logs::LogLevel::Warn => LogLevel::Warn,
            logs::LogLevel::Error => LogLevel::Error,
        },
        stream: match line.stream {
            logs::LogStream::Task => LogStream::Task,
            logs::LogStream::Stdout => LogStream::Stdout,
            logs::LogStream::Stderr => LogStream::Stderr,
        },
        line: Some(line.line),
        offset: line.offset,
        text: line.text.clone(),
    }
}

pub(crate) fn level_of(level: LogLevel) -> logs::LogLevel {
    match level {
        LogLevel::Debug => logs::LogLevel::Debug,
        LogLevel::Info => logs::LogLevel::Info,
        LogLevel::Warn => logs::LogLevel::Warn,
        LogLevel::Error => logs::LogLevel::Error,
    }
}

pub(crate) fn page_of(page: &logs::LogPage) -> LogPage {
    let info = page.info.as_ref();
    LogPage {
        bytes: info.map_or(0, |info| info.bytes),
        lines: info.map(|info| info.lines),
        complete: info.is_some_and(|info| info.complete),
        first_error: info
            .and_then(|info| info.first_error.as_ref())
            .map(|mark| FirstError { line: mark.line, offset: mark.offset }),
        items: page.lines.iter().map(line_of).collect(),
        next: page.next,
    }
}
