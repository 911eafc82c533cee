//! Logs of planted attempts: short ones, and long ones with the error in the middle.

use std::fmt::Write as _;

use anyhow::Result;
use updraft_model::id::{MapIndex, RunId};
use updraft_model::state::Outcome;
use updraft_model::time::Timestamp;
use updraft_store::History;
use updraft_store::history::AttemptLine;
use updraft_store::logs::{LogChunk, LogKey, LogPart, Logs};

use crate::story::Story;

/// Lines of a long log.
pub const LONG_LINES: u64 = 4_000;
/// The line of its first error.
pub const ERROR_LINE: u64 = 2_317;
/// A piece, about.
const PIECE_BYTES: usize = 64 << 10;

/// Writes logs for the attempts of the story's runs that a person is likely to open; says how many.
///
/// # Errors
/// The store fails.
pub async fn plant(history: &dyn History, logs: &dyn Logs, story: &Story) -> Result<u64> {
    let newest = story.flights.iter().rev().take(5);
    let of = [
        &story.failed,
        &story.second_try,
        &story.masked,
        &story.lost,
        &story.instance_failed,
        &story.backfill_failed,
        &story.rebuild,
        &story.running,
    ];
    let mut runs: Vec<RunId> = of.into_iter().flatten().chain(newest).copied().collect();
    runs.sort_unstable();
    runs.dedup();
    let mut written = 0;
    for run in runs {
        for attempt in history.attempts(run, None).await? {
            // An attempt whose body never began has no log.
            let live = attempt.outcome.is_none();
            let begun = if live { attempt.claimed_at } else { attempt.started_at };
            let Some(begun) = begun else { continue };
            let parts = parts(run, &attempt, begun);
            for part in parts {
                logs.append(&[part], attempt.ended_at.unwrap_or(begun)).await?;
            }
            written += 1;
        }
    }
    Ok(written)
}

/// Size of a piece of a log of any size, about.
const LARGE_PIECE_BYTES: usize = 256 << 10;
/// Pieces that differ; a larger log repeats them.
const LARGE_PIECES: u64 = 32;

/// Writes one log of about so many bytes, with its first error at three fifths, for an attempt that has none yet; says
/// which.
///
/// # Errors
/// The store fails, or the story has no such attempt.
pub async fn plant_large(history: &dyn History, logs: &dyn Logs, story: &Story, bytes: u64) -> Result<LogKey> {
    for run in story.flights.iter().rev() {
        for attempt in history.attempts(*run, None).await? {
            let log = LogKey { run_id: *run, key: attempt.key.clone(), dispatch_no: attempt.dispatch_no };
            let (Some(begun), Some(ended)) = (attempt.started_at, attempt.ended_at) else { continue };
            if attempt.key.map_index != MapIndex::NONE || logs.info(&log).await?.is_some() {
                continue;
            }
            large(logs, &log, begun, ended, bytes).await?;
            return Ok(log);
        }
    }
    anyhow::bail!("every attempt of the story has its log")
}

async fn large(logs: &dyn Logs, log: &LogKey, begun: Timestamp, ended: Timestamp, bytes: u64) -> Result<()> {
    let pieces: Vec<LogChunk> =
        (0..LARGE_PIECES).map(|nth| LogChunk::new(0, 1, &large_piece(begun, nth, "")).0).collect();
    let failing = large_piece(begun, LARGE_PIECES, "the feed of region levant broke off");
    let (mut offset, mut first_line, mut error) = (0, 1, None);
    for nth in 0.. {
        let found = if error.is_none() && offset >= bytes / 5 * 3 {
            let (chunk, mark) = LogChunk::new(offset, first_line, &failing);
            error = mark.clone();
            (chunk, mark)
        } else {
            let piece = &pieces[usize::try_from(nth % LARGE_PIECES)?];
            (LogChunk { offset, first_line, ..piece.clone() }, None)
        };
        let (chunk, first_error) = found;
        offset = chunk.end();
        first_line += chunk.lines;
        let complete = offset >= bytes;
        let part = LogPart {
            log: log.clone(),
            bytes: offset,
            lines: first_line - 1,
            chunks: vec![chunk],
            first_error,
            gap: None,
            complete,
        };
        logs.append(&[part], ended).await?;
        if complete {
            break;
        }
    }
    Ok(())
}

/// A piece of a large log, with an error in its middle if there is one to tell.
fn large_piece(begun: Timestamp, nth: u64, error: &str) -> String {
    let mut piece = String::with_capacity(LARGE_PIECE_BYTES + 200);
    let mut row = 0;
    while piece.len() < LARGE_PIECE_BYTES {
        let at = Timestamp::from_millis(begun.as_millis() + i64::try_from(nth * 60_000 + row * 9).unwrap_or(0));
        let text = match row {
            1_500 if !error.is_empty() => line(at, "ERROR!", error),
            _ => line(at, "INFO |", &format!("row group {nth}.{row:05}: {} rows, {} bytes", 900 + row % 97, row * 131)),
        };
        piece.push_str(&text);
        piece.push('\n');
        row += 1;
    }
    piece
}

fn parts(run: RunId, attempt: &AttemptLine, begun: Timestamp) -> Vec<LogPart> {
    let log = LogKey { run_id: run, key: attempt.key.clone(), dispatch_no: attempt.dispatch_no };
    let lines = lines(attempt, begun);
    let mut parts = Vec::new();
    let (mut offset, mut first_line) = (0, 1);
    for piece in pieces(&lines) {
        let (chunk, first_error) = LogChunk::new(offset, first_line, &piece);
        offset = chunk.end();
        first_line += chunk.lines;
        parts.push(LogPart {
            log: log.clone(),
            bytes: offset,
            lines: first_line - 1,
            chunks: vec![chunk],
            first_error,
            gap: None,
            complete: false,
        });
    }
    if let Some(last) = parts.last_mut() {
        last.complete = attempt.outcome.is_some();
    }
    parts
}

fn pieces(lines: &[String]) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for line in lines {
        if pieces.last().is_some_and(|piece| piece.len() + line.len() > PIECE_BYTES) {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(line);
            piece.push('\n');
        }
    }
    pieces
}

fn lines(attempt: &AttemptLine, begun: Timestamp) -> Vec<String> {
    let task = attempt.key.task.as_str();
    let failed = attempt.outcome == Some(Outcome::Failed);
    let count = if failed { LONG_LINES } else { 40 };
    let mut lines = Vec::new();
    for n in 1..=count {
        let at = Timestamp::from_millis(begun.as_millis() + i64::try_from(n).unwrap_or(0) * 2);
        if failed && n == ERROR_LINE {
            let message = attempt.message.as_deref().unwrap_or("it failed");
            for (nth, said) in message.lines().enumerate() {
                lines.push(line(at, if nth == 0 { "ERROR " } else { "ERROR!" }, said));
            }
            for frame in ["Traceback (most recent call last):", "  File \"check_rows.py\", line 88, in compare"] {
                lines.push(line(at, "INFO !", frame));
            }
            continue;
        }
        let said = match n {
            1 => format!("{task}: attempt {} begins", attempt.n),
            _ if n % 500 == 0 => format!("partition {n} is slower than the others"),
            _ => format!("partition {n:04}: {} rows read, 0 rejected", 1_000 + n * 37 % 900),
        };
        lines.push(line(at, if n % 500 == 0 { "WARN  " } else { "INFO |" }, &said));
    }
    lines
}

/// A line in the form of a log; `level` with the mark of its stream.
fn line(at: Timestamp, level: &str, said: &str) -> String {
    let mut out = String::new();
    let at = at.to_datetime().format("%Y-%m-%dT%H:%M:%S%.3fZ");
    // Writing into text cannot fail.
    let _ = write!(out, "{at} {level}{said}");
    out
}
