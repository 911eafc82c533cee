//! Writes one attempt's log. Every line reaches a file at once, so that it can be followed and survives a `kill -9`. A log
//! that passes its limit keeps its first half in one file, and its end in a row of smaller ones, the oldest of which go.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use updraft_model::time::Timestamp;
use updraft_store::logs::{LogGap, LogStream};
use updraft_task::Level;

use super::{Segment, segment_path};
use crate::shared::locked;

/// Longest line; what is longer is cut, with a mark.
pub const MAX_LINE_BYTES: usize = 32 << 10;

/// How far a log is; shared with who ships it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Written {
    pub bytes: u64,
    pub lines: u64,
    /// Files, in order.
    pub segments: VecDeque<Segment>,
    pub gap: Option<LogGap>,
    /// Nothing more will come.
    pub ended: bool,
}

/// See the module.
pub struct LogFile {
    path: PathBuf,
    limit_bytes: u64,
    /// Bytes in the last file.
    in_segment: u64,
    dropped_lines: u64,
    file: Option<File>,
    failed: bool,
    written: Arc<Mutex<Written>>,
}

impl LogFile {
    /// A log that is made with its first line.
    pub fn create(path: PathBuf, limit_bytes: u64) -> Self {
        Self { path, limit_bytes, in_segment: 0, dropped_lines: 0, file: None, failed: false, written: Arc::default() }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lines that could not be written.
    pub fn dropped_lines(&self) -> u64 {
        self.dropped_lines
    }

    pub(crate) fn written(&self) -> Arc<Mutex<Written>> {
        Arc::clone(&self.written)
    }

    /// Writes a text of this stream, one log line per line of it.
    ///
    /// # Errors
    /// The file cannot be written; told once, then lines are counted as dropped.
    pub fn write(&mut self, at: Timestamp, level: Level, stream: LogStream, text: &str) -> std::io::Result<()> {
        if self.failed {
            self.dropped_lines += text.lines().count() as u64;
            return Ok(());
        }
        let mut out = String::with_capacity(text.len() + 40);
        let mut lines = 0;
        for line in text.lines() {
            push_line(&mut out, at, level, stream, line);
            lines += 1;
            if self.in_segment + out.len() as u64 >= self.segment_limit() {
                self.append(&out, lines).inspect_err(|_| self.failed = true)?;
                out.clear();
                lines = 0;
            }
        }
        if out.is_empty() {
            return Ok(());
        }
        self.append(&out, lines).inspect_err(|_| self.failed = true)
    }

    /// Most bytes of the file that is being written.
    fn segment_limit(&self) -> u64 {
        let half = self.limit_bytes / 2;
        if locked(&self.written).segments.len() <= 1 { half } else { (half / 4).max(1) }
    }

    fn append(&mut self, text: &str, lines: u64) -> std::io::Result<()> {
        if self.file.is_some() && self.in_segment >= self.segment_limit() {
            self.file = None;
        }
        let file = match &mut self.file {
            Some(file) => file,
            empty @ None => {
                let mut written = locked(&self.written);
                let (offset, first_line) = (written.bytes, written.lines + 1);
                let path = match offset {
                    0 => self.path.clone(),
                    _ => segment_path(&self.path, offset, first_line),
                };
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                let file = File::options().create(true).append(true).open(&path)?;
                written.segments.push_back(Segment { path, offset, first_line });
                drop_oldest(&mut written, self.limit_bytes / 2);
                self.in_segment = 0;
                empty.insert(file)
            }
        };
        file.write_all(text.as_bytes())?;
        self.in_segment += text.len() as u64;
        let mut written = locked(&self.written);
        written.bytes += text.len() as u64;
        written.lines += lines;
        Ok(())
    }
}

/// Removes the oldest files after the first, as long as what remains of the end is long enough.
fn drop_oldest(written: &mut Written, keep_bytes: u64) {
    while written.segments.len() > 3 && written.bytes - written.segments[2].offset >= keep_bytes {
        let Some(oldest) = written.segments.remove(1) else { return };
        let next = &written.segments[1];
        let from = written.gap.map_or((oldest.offset, oldest.first_line), |gap| (gap.from, oldest.first_line));
        let lines = written.gap.map_or(0, |gap| gap.lines) + next.first_line - from.1;
        written.gap = Some(LogGap { from: from.0, until: next.offset, lines });
        if let Err(error) = std::fs::remove_file(&oldest.path) {
            tracing::warn!(%error, "a part of a log cannot be removed: {}", oldest.path.display());
        }
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        locked(&self.written).ended = true;
    }
}

/// Cuts a line at its bound, at a character's border.
fn cut(line: &str) -> (&str, usize) {
    let mut end = line.len().min(MAX_LINE_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    (&line[..end], line.len() - end)
}

fn push_line(out: &mut String, at: Timestamp, level: Level, stream: LogStream, line: &str) {
    use std::fmt::Write;
    let name = match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO ",
        Level::Warn => "WARN ",
        Level::Error => "ERROR",
    };
    let (kept, rest) = cut(line);
    let at = at.to_datetime().format("%Y-%m-%dT%H:%M:%S%.3fZ");
    let _ = write!(out, "{at} {name}{}", stream.mark());
    // Control characters would let a task rewrite a reader's terminal.
    out.extend(kept.chars().map(|c| if c.is_control() && c != '\t' && c != '\u{1b}' { '\u{FFFD}' } else { c }));
    if rest > 0 {
        let _ = write!(out, " … (cut, {rest} bytes more)");
    }
    out.push('\n');
}
