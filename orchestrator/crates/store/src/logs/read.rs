//! Reading logs: by byte, by line, from the end, around a line, by what they say, and as they grow. Work is bounded by what
//! is asked for, never by the size of a log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::BoxStream;

use super::{FOLLOWED, LogAt, LogChunk, LogGap, LogInfo, LogKey, LogLevel, LogLine, LogStream, Logs};
use crate::StoreError;

/// Most text that is held at one time.
const STEP_BYTES: u64 = 1 << 20;
/// How often a followed log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A piece of a log as plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogText {
    /// Whole lines; a gap is one line of its own.
    pub text: String,
    /// Where to go on.
    pub next: u64,
}

/// Lines of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// The lines; a gap is one line of its own.
    pub lines: Vec<LogLine>,
    /// Where to go on.
    pub next: u64,
    /// What is known of the log, if anything has been shipped.
    pub info: Option<LogInfo>,
}

impl LogPage {
    /// Nothing more will come after this page.
    pub fn is_end(&self) -> bool {
        self.info.as_ref().is_some_and(|info| info.complete && self.next >= info.bytes)
    }
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    /// Text that a line must hold, without regard to ASCII case.
    pub text: Option<String>,
    /// At least of this weight.
    pub level: Option<LogLevel>,
    /// From this byte on.
    pub from: u64,
    /// Most lines to find.
    pub max_lines: usize,
    /// Most bytes to look through.
    pub max_bytes: u64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogMatches {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Where to go on; `None` at the end of what there is.
    pub next: Option<u64>,
}

/// One piece of a walk through a log.
enum Piece<'a> {
    Gap(LogGap, u64),
    Line { raw: &'a str, line: u64, offset: u64 },
}

/// Walks through chunks from a place on; `visit` says whether to go on. Answers the byte after the last visited line.
fn walk(
    chunks: &[LogChunk],
    info: &LogInfo,
    from: LogAt,
    levels: u8,
    mut visit: impl FnMut(Piece<'_>) -> bool,
) -> Result<u64, StoreError> {
    let mut next = match from {
        LogAt::Offset(offset) => offset,
        LogAt::Line(_) => chunks.first().map_or(info.bytes, |chunk| chunk.offset),
    };
    for chunk in chunks {
        match from {
            LogAt::Offset(offset) if chunk.end() <= offset => continue,
            LogAt::Line(line) if chunk.first_line + chunk.lines <= line => {
                next = chunk.end();
                continue;
            }
            LogAt::Offset(_) | LogAt::Line(_) => {}
        }
        if let Some(gap) = info.gap.filter(|gap| chunk.offset >= gap.until && next >= gap.from && next < gap.until) {
            if !visit(Piece::Gap(gap, chunk.first_line)) {
                return Ok(next);
            }
            next = gap.until;
        }
        if chunk.levels & levels == 0 {
            next = chunk.end();
            continue;
        }
        let text = chunk.text()?;
        let (mut at, mut line) = (chunk.offset, chunk.first_line);
        for raw in text.split_inclusive('\n') {
            let wanted = match from {
                LogAt::Offset(offset) => at >= offset,
                LogAt::Line(number) => line >= number,
            };
            if wanted && !visit(Piece::Line { raw, line, offset: at }) {
                return Ok(at);
            }
            at += raw.len() as u64;
            line += 1;
            next = at;
        }
    }
    Ok(next)
}

const EVERY_LEVEL: u8 = 0b1111;

fn gap_line(gap: LogGap, next_line: u64) -> LogLine {
    LogLine {
        at: None,
        level: LogLevel::Warn,
        stream: LogStream::Task,
        line: next_line.saturating_sub(gap.lines),
        offset: gap.from,
        text: gap.text(),
    }
}

/// Plain text from a byte on: whole lines up to about `limit_bytes`, at least one line if there is one.
///
/// # Errors
/// The store cannot be read.
pub async fn read_text(logs: &dyn Logs, log: &LogKey, offset: u64, limit_bytes: u64) -> Result<LogText, StoreError> {
    let Some(info) = logs.info(log).await? else { return Ok(LogText { text: String::new(), next: offset }) };
    let limit_bytes = limit_bytes.min(64 * STEP_BYTES);
    let chunks = logs.chunks(log, LogAt::Offset(offset), limit_bytes).await?;
    let mut text = String::new();
    let next = walk(&chunks, &info, LogAt::Offset(offset), EVERY_LEVEL, |piece| match piece {
        Piece::Gap(gap, _) => {
            text.push_str(&gap.text());
            text.push('\n');
            true
        }
        Piece::Line { raw, .. } if text.is_empty() || (text.len() + raw.len()) as u64 <= limit_bytes => {
            text.push_str(raw);
            true
        }
        Piece::Line { .. } => false,
    })?;
    Ok(LogText { text, next })
}

/// Lines from a place on: at most `max_lines`, and about `limit_bytes` of text.
///
/// # Errors
/// The store cannot be read.
pub async fn lines_from(
    logs: &dyn Logs,
    log: &LogKey,
    from: LogAt,
    max_lines: usize,
    limit_bytes: u64,
) -> Result<LogPage, StoreError> {
    let start = match from {
        LogAt::Offset(offset) => offset,
        LogAt::Line(_) => 0,
    };
    let Some(info) = logs.info(log).await? else { return Ok(LogPage { lines: Vec::new(), next: start, info: None }) };
    let mut lines = Vec::new();
    let (mut from, mut next, mut bytes) = (from, start, 0_u64);
    while lines.len() < max_lines && bytes < limit_bytes {
        let step = STEP_BYTES.min(limit_bytes - bytes);
        let chunks = logs.chunks(log, from, step).await?;
        let mut full = false;
        let before = lines.len();
        next = walk(&chunks, &info, from, EVERY_LEVEL, |piece| {
            full = lines.len() >= max_lines || bytes >= limit_bytes;
            if full {
                return false;
            }
            match piece {
                Piece::Gap(gap, next_line) => lines.push(gap_line(gap, next_line)),
                Piece::Line { raw, line, offset } => {
                    bytes += raw.len() as u64;
                    lines.push(LogLine::parse(raw.strip_suffix('\n').unwrap_or(raw), line, offset));
                }
            }
            true
        })?;
        if full || lines.len() == before {
            break;
        }
        from = LogAt::Offset(next);
    }
    Ok(LogPage { lines, next, info: Some(info) })
}

/// The last lines.
///
/// # Errors
/// The store cannot be read.
pub async fn tail(logs: &dyn Logs, log: &LogKey, lines: u64) -> Result<LogPage, StoreError> {
    let total = logs.info(log).await?.map_or(0, |info| info.lines);
    let from = LogAt::Line(total.saturating_sub(lines) + 1);
    lines_from(logs, log, from, count(lines), u64::MAX).await
}

/// About `lines` lines, half of them before `line`.
///
/// # Errors
/// The store cannot be read.
pub async fn around(logs: &dyn Logs, log: &LogKey, line: u64, lines: u64) -> Result<LogPage, StoreError> {
    lines_from(logs, log, LogAt::Line(line.saturating_sub(lines / 2).max(1)), count(lines), u64::MAX).await
}

fn count(lines: u64) -> usize {
    usize::try_from(lines).unwrap_or(usize::MAX)
}

/// Looks for lines, chunk by chunk; chunks without a line of the wanted weight are passed over unread.
///
/// # Errors
/// The store cannot be read.
pub async fn search(logs: &dyn Logs, log: &LogKey, query: &SearchQuery) -> Result<LogMatches, StoreError> {
    let mut found = LogMatches { lines: Vec::new(), next: None };
    let Some(info) = logs.info(log).await? else { return Ok(found) };
    let needle = query.text.as_ref().map(|text| text.to_ascii_lowercase());
    let levels = query.level.map_or(EVERY_LEVEL, LogLevel::and_heavier);
    let mut at = query.from;
    let mut looked = 0;
    while at < info.bytes {
        if looked >= query.max_bytes {
            found.next = Some(at);
            return Ok(found);
        }
        let step = STEP_BYTES.min(query.max_bytes - looked);
        let chunks = logs.chunks(log, LogAt::Offset(at), step).await?;
        let mut full = false;
        let next = walk(&chunks, &info, LogAt::Offset(at), levels, |piece| {
            let Piece::Line { raw, line, offset } = piece else { return true };
            full = found.lines.len() >= query.max_lines;
            if full {
                return false;
            }
            let parsed = LogLine::parse(raw.strip_suffix('\n').unwrap_or(raw), line, offset);
            let heavy = parsed.level.bit() & levels != 0;
            let says = needle.as_ref().is_none_or(|needle| parsed.text.to_ascii_lowercase().contains(needle));
            if heavy && says {
                found.lines.push(parsed);
            }
            true
        })?;
        if full {
            found.next = Some(next);
            return Ok(found);
        }
        if next <= at {
            return Ok(found);
        }
        looked += next - at;
        at = next;
    }
    Ok(found)
}

/// Lines as they come, from a byte on; ends with the log. Each page that comes has lines, but the last one may be empty.
/// Its workers are told that somebody follows.
pub fn follow(logs: Arc<dyn Logs>, log: LogKey, from: u64) -> BoxStream<'static, Result<LogPage, StoreError>> {
    struct Following {
        logs: Arc<dyn Logs>,
        log: LogKey,
        at: u64,
        told: Option<Instant>,
        over: bool,
    }
    let following = Following { logs, log, at: from, told: None, over: false };
    Box::pin(futures::stream::unfold(following, |mut following| async move {
        if following.over {
            return None;
        }
        loop {
            let page =
                lines_from(&*following.logs, &following.log, LogAt::Offset(following.at), 2000, STEP_BYTES).await;
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    following.over = !error.is_transient();
                    tokio::time::sleep(LOOK_EVERY).await;
                    return Some((Err(error), following));
                }
            };
            following.at = page.next;
            following.over = page.is_end();
            if following.over || !page.lines.is_empty() {
                return Some((Ok(page), following));
            }
            if following.told.is_none_or(|told| told.elapsed() >= FOLLOWED / 3) {
                // A lost hint costs some seconds of delay.
                if let Err(error) = following.logs.followed(following.log.run_id).await {
                    tracing::debug!(%error, "the workers were not told that a log is followed");
                }
                following.told = Some(Instant::now());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }))
}
