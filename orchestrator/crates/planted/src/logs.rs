//! Logs of planted attempts: short ones, and long ones with the error in the middle.

use std::fmt::Write as _;

use anyhow::Result;
use updraft_model::id::RunId;
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
