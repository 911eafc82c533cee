//! What attempts said: text in chunks, kept where every process can read it.
//!
//! A log is a text of lines `2026-01-31T09:30:00.123Z INFO  text`, addressed by byte offset and by line number from 1, as
//! its attempt wrote it. The sixth character after the level names the stream: a blank for the task itself, `|` for a
//! child's standard output, `!` for its standard error. A log that passes its limit keeps its beginning and its end;
//! offsets and line numbers go on as if nothing were missing, and readers put one line where the gap is.
//!
//! Workers write a log to a local file first (the spool), and ship it from there; once shipped, the store is the truth,
//! and the file goes when the whole log is in the store.

mod read;

use std::io::{Read, Write};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use updraft_model::id::{RunId, TaskKey};
use updraft_model::time::Timestamp;

use crate::StoreError;

pub use read::{LogMatches, LogPage, LogText, SearchQuery, around, follow, lines_from, read_text, search, tail};

/// Which log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogKey {
    /// The run.
    pub run_id: RunId,
    /// The task run.
    pub key: TaskKey,
    /// The attempt's fence.
    pub dispatch_no: u32,
}

/// Weight of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Details.
    Debug,
    /// What happens.
    Info,
    /// Worth a look.
    Warn,
    /// What failed.
    Error,
}

impl LogLevel {
    /// All of them, lightest first.
    pub const ALL: [Self; 4] = [Self::Debug, Self::Info, Self::Warn, Self::Error];

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// As it stands in a line: five characters.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO ",
            Self::Warn => "WARN ",
            Self::Error => "ERROR",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    /// Its bit in [`LogChunk::levels`].
    pub const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// The bits of this level and all heavier ones.
    pub const fn and_heavier(self) -> u8 {
        0b1111 & !(self.bit() - 1)
    }
}

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// The task, or the engine about it.
    Task,
    /// A child's standard output.
    Stdout,
    /// A child's standard error.
    Stderr,
}

impl LogStream {
    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// The character behind the level.
    pub const fn mark(self) -> char {
        match self {
            Self::Task => ' ',
            Self::Stdout => '|',
            Self::Stderr => '!',
        }
    }
}

/// One line as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When; `None` for a line that is not in the form of this log, and for a gap.
    pub at: Option<Timestamp>,
    /// Its weight.
    pub level: LogLevel,
    /// Where it comes from.
    pub stream: LogStream,
    /// Its number, from 1.
    pub line: u64,
    /// Where it begins.
    pub offset: u64,
    /// What it says.
    pub text: String,
}

impl LogLine {
    /// Reads a line without its end.
    pub fn parse(raw: &str, line: u64, offset: u64) -> Self {
        let (at, level, stream, text) = parts(raw);
        Self { at, level, stream, line, offset, text: text.to_owned() }
    }
}

fn parts(raw: &str) -> (Option<Timestamp>, LogLevel, LogStream, &str) {
    let other = (None, LogLevel::Info, LogStream::Task, raw);
    let Some((at, rest)) = raw.split_once(' ') else { return other };
    let (Some(at), Some((tag, rest))) = (Timestamp::parse(at), rest.split_at_checked(5)) else { return other };
    let Some(level) = LogLevel::ALL.into_iter().find(|level| level.tag() == tag) else { return other };
    let (stream, text) = match rest.chars().next() {
        Some(' ') => (LogStream::Task, &rest[1..]),
        Some('|') => (LogStream::Stdout, &rest[1..]),
        Some('!') => (LogStream::Stderr, &rest[1..]),
        Some(_) | None => (LogStream::Task, rest),
    };
    (Some(at), level, stream, text)
}

/// The first line that says what failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogMark {
    /// Its number, from 1.
    pub line: u64,
    /// Where it begins.
    pub offset: u64,
    /// What it says, shortened to [`MARK_BYTES`].
    pub text: String,
}

/// The part that a log's limit left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogGap {
    /// Its first byte.
    pub from: u64,
    /// The first byte after it.
    pub until: u64,
    /// Lines in it.
    pub lines: u64,
}

impl LogGap {
    /// The line that stands for it.
    pub fn text(&self) -> String {
        let bytes = self.until - self.from;
        format!("--- {} lines ({bytes} bytes) were not kept: the log passed its limit ---", self.lines)
    }
}

/// What is known of a log without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogInfo {
    /// Bytes that its attempt wrote and that have been shipped or left out.
    pub bytes: u64,
    /// Lines of them.
    pub lines: u64,
    /// The first error.
    pub first_error: Option<LogMark>,
    /// What is missing.
    pub gap: Option<LogGap>,
    /// Nothing more will come.
    pub complete: bool,
    /// Last change.
    pub updated_at: Timestamp,
}

/// A piece of a log: whole lines (only the last piece of a log whose worker was killed may end inside one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// Where it begins.
    pub offset: u64,
    /// Number of its first line.
    pub first_line: u64,
    /// Lines in it.
    pub lines: u64,
    /// Bytes of its text.
    pub bytes: u64,
    /// Levels that occur in it, see [`LogLevel::bit`].
    pub levels: u8,
    /// Its text, see [`pack`].
    pub body: Vec<u8>,
}

impl LogChunk {
    /// From a text; also says where the first error in it is.
    pub fn new(offset: u64, first_line: u64, text: &str) -> (Self, Option<LogMark>) {
        let (mut lines, mut levels, mut at, mut mark) = (0, 0, offset, None);
        for raw in text.split_inclusive('\n') {
            let line = raw.strip_suffix('\n').unwrap_or(raw);
            let (_, level, _, said) = parts(line);
            levels |= level.bit();
            if level == LogLevel::Error && mark.is_none() {
                mark = Some(LogMark { line: first_line + lines, offset: at, text: short(said) });
            }
            lines += 1;
            at += raw.len() as u64;
        }
        let chunk = Self { offset, first_line, lines, bytes: text.len() as u64, levels, body: pack(text) };
        (chunk, mark)
    }

    /// The first byte after it.
    pub fn end(&self) -> u64 {
        self.offset + self.bytes
    }

    /// Its text.
    ///
    /// # Errors
    /// The stored body is not what [`pack`] makes.
    pub fn text(&self) -> Result<String, StoreError> {
        unpack(&self.body).map_err(|detail| StoreError::Inconsistent {
            table: "log_chunk",
            column: "body",
            id: format!("offset {}", self.offset),
            detail,
        })
    }
}

/// Longest text of a [`LogMark`].
pub const MARK_BYTES: usize = 500;

fn short(text: &str) -> String {
    let mut end = text.len().min(MARK_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace('\0', "\u{FFFD}")
}

/// Texts below this size are kept as they are.
const PLAIN_BYTES: usize = 256;
/// First byte of a body.
const PLAIN: u8 = 0;
const DEFLATED: u8 = 1;

/// A text as it is stored: plain or deflated, told by the first byte.
pub fn pack(text: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(text.len() / 4 + 1);
    if text.len() >= PLAIN_BYTES {
        body.push(DEFLATED);
        let mut encoder = flate2::write::DeflateEncoder::new(body, flate2::Compression::fast());
        if encoder.write_all(text.as_bytes()).is_ok()
            && let Ok(packed) = encoder.finish()
            && packed.len() <= text.len()
        {
            return packed;
        }
        body = Vec::with_capacity(text.len() + 1);
    }
    body.push(PLAIN);
    body.extend_from_slice(text.as_bytes());
    body
}

fn unpack(body: &[u8]) -> Result<String, String> {
    match body.split_first() {
        Some((&PLAIN, text)) => String::from_utf8(text.to_vec()).map_err(|error| error.to_string()),
        Some((&DEFLATED, packed)) => {
            let mut text = String::new();
            flate2::read::DeflateDecoder::new(packed)
                .read_to_string(&mut text)
                .map_err(|error| format!("cannot be inflated: {error}"))?;
            Ok(text)
        }
        Some((other, _)) => Err(format!("first byte {other} is not known to this build")),
        None => Err("it is empty".to_owned()),
    }
}

/// What is added to one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPart {
    /// Which.
    pub log: LogKey,
    /// New chunks; one that is there already (by its offset) stays as it is.
    pub chunks: Vec<LogChunk>,
    /// Bytes of the log up to the end of this part.
    pub bytes: u64,
    /// Lines of the log up to there.
    pub lines: u64,
    /// The first error in this part; the one that is stored already stands.
    pub first_error: Option<LogMark>,
    /// What is left out so far; chunks inside it go.
    pub gap: Option<LogGap>,
    /// Nothing more will come.
    pub complete: bool,
}

/// A place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogAt {
    /// This byte.
    Offset(u64),
    /// The beginning of this line, from 1.
    Line(u64),
}

/// The logs of all attempts, whoever ran them. Reads use connections of their own, never the engine's.
#[async_trait]
pub trait Logs: Send + Sync + 'static {
    /// Adds to logs, at most one part a log; all or nothing. Made again, it changes nothing.
    async fn append(&self, parts: &[LogPart], at: Timestamp) -> Result<(), StoreError>;

    /// What is known of one log; `None` if its attempt has said nothing, or nothing of it has been shipped.
    async fn info(&self, log: &LogKey) -> Result<Option<LogInfo>, StoreError>;

    /// What is known of all logs of a run, by key and `dispatch_no`.
    async fn infos(&self, run: RunId) -> Result<Vec<(LogKey, LogInfo)>, StoreError>;

    /// Chunks from a place on, in order, as many as hold `limit_bytes` and at least one. The first one may end before
    /// that place, if the place lies in a gap.
    async fn chunks(&self, log: &LogKey, from: LogAt, limit_bytes: u64) -> Result<Vec<LogChunk>, StoreError>;

    /// Says that somebody follows a run's logs: for the next [`FOLLOWED`] its workers ship what they have within a second.
    async fn followed(&self, run: RunId) -> Result<(), StoreError>;

    /// Removes logs that nothing was added to since `before`, of runs that were made before it and are over; at most
    /// `limit` logs. Says how many: call it again while that is `limit`.
    async fn purge_logs(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// The smallest id of a run that can have been made at this instant: ids are UUIDv7, so everything below it is older.
pub fn first_run_at(at: Timestamp) -> RunId {
    let millis = u128::from(at.as_millis().max(0).unsigned_abs()) & 0xFFFF_FFFF_FFFF;
    RunId(uuid::Uuid::from_u128(millis << 80))
}

/// How long one call of [`Logs::followed`] holds.
pub const FOLLOWED: std::time::Duration = std::time::Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_comes_back_as_it_went_in() {
        for text in ["", "short\n", &"a line that is repeated\n".repeat(1000), &"é\u{1F600}".repeat(300)] {
            assert_eq!(unpack(&pack(text)).unwrap(), text);
        }
        assert!(pack(&"x".repeat(100_000)).len() < 2_000);
        assert!(unpack(&[]).is_err() && unpack(&[9]).is_err() && unpack(&[DEFLATED, 1, 2]).is_err());
    }

    #[test]
    fn a_chunk_counts_its_lines_and_finds_the_first_error() {
        let text = "2026-01-31T09:30:00.123Z INFO  one\n2026-01-31T09:30:00.124Z ERROR!two\nthree\n";
        let (chunk, mark) = LogChunk::new(100, 7, text);
        assert_eq!((chunk.lines, chunk.bytes, chunk.end()), (3, text.len() as u64, 100 + text.len() as u64));
        assert_eq!(chunk.levels, LogLevel::Info.bit() | LogLevel::Error.bit());
        assert_eq!(mark, Some(LogMark { line: 8, offset: 135, text: "two".to_owned() }));
        let line = LogLine::parse("2026-01-31T09:30:00.124Z ERROR!two", 8, 135);
        assert_eq!((line.level, line.stream, line.text.as_str()), (LogLevel::Error, LogStream::Stderr, "two"));
    }

    #[test]
    fn levels_include_the_heavier_ones() {
        assert_eq!(LogLevel::Debug.and_heavier(), 0b1111);
        assert_eq!(LogLevel::Warn.and_heavier(), 0b1100);
        assert_eq!(LogLevel::Error.and_heavier(), 0b1000);
    }
}
