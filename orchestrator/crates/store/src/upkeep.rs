//! What keeps a store small and quick over the years: statistics, the removal of old runs, logs in few pieces. Called by
//! the daemon's own upkeep, never by the engine; runs that are not over are never touched.

use std::any::Any;

use async_trait::async_trait;
use updraft_model::id::RunId;
use updraft_model::time::Timestamp;

use crate::StoreError;
use crate::logs::{LogAt, LogChunk, LogKey, Logs};

/// Most bytes of text that pieces of a log hold after they were put together.
pub const COMPACTED_BYTES: u64 = 256 << 10;
/// Bytes of a log that are read at a time.
const PAGE_BYTES: u64 = 4 << 20;

/// A job that this process has for itself, until this is dropped.
pub struct Turn {
    _held: Option<Box<dyn Any + Send + Sync>>,
}

impl Turn {
    /// Where no other process can be at it: a store that has one owner.
    pub fn alone() -> Self {
        Self { _held: None }
    }

    /// Until this is dropped, others are kept away.
    pub fn held(by: impl Any + Send + Sync) -> Self {
        Self { _held: Some(Box::new(by)) }
    }
}

/// See the module.
#[async_trait]
pub trait Upkeep: Send + Sync + 'static {
    /// Takes a job for this process; `None`: another one is at it.
    async fn turn(&self, job: &str) -> Result<Option<Turn>, StoreError>;

    /// Refreshes what the database's planner knows of tables that changed much.
    async fn refresh_statistics(&self) -> Result<(), StoreError>;

    /// Removes runs that were over before an instant, those that ended first, at most `limit`, each with all that belongs
    /// to it: events, task runs, attempts, their items, outputs and logs, measures, notes, kept values. Says how many.
    async fn purge_runs(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Logs that are complete, untouched since `before`, and kept in many small pieces, of runs from an id on; in the
    /// order of their runs.
    async fn scattered_logs(&self, from: RunId, before: Timestamp, limit: u32) -> Result<Vec<LogKey>, StoreError>;

    /// Puts a piece of a log in the place of those that hold the same bytes, in one commit.
    async fn replace_chunks(&self, log: &LogKey, whole: &LogChunk) -> Result<(), StoreError>;
}

/// Puts the pieces of a log together; offsets and line numbers stay. Says how many pieces fewer there are.
///
/// # Errors
/// The store fails, or a piece is not what was written.
pub async fn compact_log(upkeep: &dyn Upkeep, logs: &dyn Logs, log: &LogKey) -> Result<u64, StoreError> {
    let (mut from, mut fewer) = (0, 0);
    let mut gathered: Vec<LogChunk> = Vec::new();
    loop {
        let mut page = logs.chunks(log, LogAt::Offset(from), PAGE_BYTES).await?;
        // The first one may lie before a gap.
        page.retain(|chunk| chunk.offset >= from);
        let Some(last) = page.last() else { break };
        from = last.end();
        for chunk in page {
            let bytes: u64 = gathered.iter().map(|one| one.bytes).sum();
            let joins = gathered.last().is_none_or(|before| before.end() == chunk.offset);
            if !joins || bytes + chunk.bytes > COMPACTED_BYTES {
                fewer += put_together(upkeep, log, &std::mem::take(&mut gathered)).await?;
            }
            gathered.push(chunk);
        }
    }
    Ok(fewer + put_together(upkeep, log, &gathered).await?)
}

async fn put_together(upkeep: &dyn Upkeep, log: &LogKey, pieces: &[LogChunk]) -> Result<u64, StoreError> {
    let [first, _, ..] = pieces else { return Ok(0) };
    let mut text = String::new();
    for piece in pieces {
        text.push_str(&piece.text()?);
    }
    let (whole, _) = LogChunk::new(first.offset, first.first_line, &text);
    upkeep.replace_chunks(log, &whole).await?;
    Ok(pieces.len() as u64 - 1)
}
