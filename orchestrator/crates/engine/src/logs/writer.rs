//! Writes one attempt's log. Every line reaches the file at once, so that it can be followed and survives a `kill -9`;
//! when the bound is reached one line says so, and the rest is counted.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use updraft_model::time::Timestamp;
use updraft_task::Level;

/// Longest line; what is longer is cut, with a mark.
pub const MAX_LINE_BYTES: usize = 32 << 10;

/// See the module.
pub struct LogFile {
    path: PathBuf,
    limit_bytes: u64,
    written_bytes: u64,
    dropped_lines: u64,
    file: Option<File>,
    failed: bool,
}

impl LogFile {
    /// A log that is made with its first line.
    pub fn create(path: PathBuf, limit_bytes: u64) -> Self {
        Self { path, limit_bytes, written_bytes: 0, dropped_lines: 0, file: None, failed: false }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lines that the bound left out.
    pub fn dropped_lines(&self) -> u64 {
        self.dropped_lines
    }

    /// Writes a text, one log line per line of it.
    ///
    /// # Errors
    /// The file cannot be written; told once, then lines are counted as dropped.
    pub fn write(&mut self, at: Timestamp, level: Level, text: &str) -> std::io::Result<()> {
        if self.failed {
            self.dropped_lines += 1;
            return Ok(());
        }
        let mut out = String::with_capacity(text.len() + 40);
        for line in text.lines() {
            if self.written_bytes >= self.limit_bytes {
                self.dropped_lines += 1;
                continue;
            }
            let start = out.len();
            push_line(&mut out, at, level, line);
            self.written_bytes += (out.len() - start) as u64;
            if self.written_bytes >= self.limit_bytes {
                let limit = self.limit_bytes;
                push_line(
                    &mut out,
                    at,
                    Level::Warn,
                    &format!("the log has reached its bound of {limit} bytes; what follows is not kept"),
                );
            }
        }
        if out.is_empty() {
            return Ok(());
        }
        self.append(out.as_bytes()).inspect_err(|_| self.failed = true)
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            empty @ None => {
                if let Some(folder) = self.path.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                empty.insert(File::options().create(true).append(true).open(&self.path)?)
            }
        };
        file.write_all(bytes)
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        if self.dropped_lines > 0 && !self.failed {
            let line = format!("--- {} lines were not kept\n", self.dropped_lines);
            // Best effort: the bound itself is already told.
            let _ = self.append(line.as_bytes());
        }
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

fn push_line(out: &mut String, at: Timestamp, level: Level, line: &str) {
    use std::fmt::Write;
    let name = match level {
        Level::Debug => "DEBUG",
        Level::Info => "INFO ",
        Level::Warn => "WARN ",
        Level::Error => "ERROR",
    };
    let (kept, rest) = cut(line);
    let at = at.to_datetime().format("%Y-%m-%dT%H:%M:%S%.3fZ");
    let _ = write!(out, "{at} {name} ");
    // Control characters would let a task rewrite a reader's terminal.
    out.extend(kept.chars().map(|c| if c.is_control() && c != '\t' && c != '\u{1b}' { '\u{FFFD}' } else { c }));
    if rest > 0 {
        let _ = write!(out, " … (cut, {rest} bytes more)");
    }
    out.push('\n');
}
