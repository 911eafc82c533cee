//! [`Logs`] for PostgreSQL: one connection of its own to write, the readers' connections to read.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use updraft_model::id::RunId;
use updraft_model::time::Timestamp;
use updraft_store::logs::{LogAt, LogChunk, LogGap, LogInfo, LogKey, LogMark, LogPart, Logs, first_run_at};
use updraft_store::{Purpose, StoreError, Wake, check};
use uuid::Uuid;

use crate::line::{Lost, guarded};
use crate::{PgStore, error, kept, row, sql};

/// The columns of both lists of `queries/log_append.sql` that name a log.
#[derive(Default)]
struct Keys {
    runs: Vec<Uuid>,
    tasks: Vec<String>,
    map_indexes: Vec<i32>,
    numbers: Vec<i32>,
}

impl Keys {
    fn push(&mut self, log: &LogKey) -> Result<(), StoreError> {
        self.runs.push(log.run_id.0);
        self.tasks.push(log.key.task.to_string());
        self.map_indexes.push(log.key.map_index.0);
        self.numbers.push(number(log)?);
        Ok(())
    }
}

fn number(log: &LogKey) -> Result<i32, StoreError> {
    i32::try_from(log.dispatch_no).map_err(|_| StoreError::Rejected(format!("{} is no attempt", log.dispatch_no)))
}

#[derive(Default)]
struct Chunks {
    keys: Keys,
    offsets: Vec<i64>,
    first_lines: Vec<i64>,
    lines: Vec<i64>,
    bytes: Vec<i64>,
    levels: Vec<i16>,
    bodies: Vec<Vec<u8>>,
}

#[derive(Default)]
struct Heads {
    keys: Keys,
    bytes: Vec<i64>,
    lines: Vec<i64>,
    error_lines: Vec<Option<i64>>,
    error_offsets: Vec<Option<i64>>,
    error_texts: Vec<Option<String>>,
    gap_from: Vec<Option<i64>>,
    gap_until: Vec<Option<i64>>,
    gap_lines: Vec<Option<i64>>,
    complete: Vec<bool>,
}

fn encode(parts: &[LogPart]) -> Result<(Chunks, Heads), StoreError> {
    let (mut chunks, mut heads) = (Chunks::default(), Heads::default());
    for part in parts {
        for chunk in &part.chunks {
            chunks.keys.push(&part.log)?;
            chunks.offsets.push(kept::number(chunk.offset)?);
            chunks.first_lines.push(kept::number(chunk.first_line)?);
            chunks.lines.push(kept::number(chunk.lines)?);
            chunks.bytes.push(kept::number(chunk.bytes)?);
            chunks.levels.push(i16::from(chunk.levels));
            chunks.bodies.push(chunk.body.clone());
        }
        heads.keys.push(&part.log)?;
        heads.bytes.push(kept::number(part.bytes)?);
        heads.lines.push(kept::number(part.lines)?);
        let error = part.first_error.as_ref();
        if let Some(mark) = error {
            check::text("log", &mark.text, usize::MAX)?;
        }
        heads.error_lines.push(error.map(|mark| kept::number(mark.line)).transpose()?);
        heads.error_offsets.push(error.map(|mark| kept::number(mark.offset)).transpose()?);
        heads.error_texts.push(error.map(|mark| mark.text.clone()));
        heads.gap_from.push(part.gap.map(|gap| kept::number(gap.from)).transpose()?);
        heads.gap_until.push(part.gap.map(|gap| kept::number(gap.until)).transpose()?);
        heads.gap_lines.push(part.gap.map(|gap| kept::number(gap.lines)).transpose()?);
        heads.complete.push(part.complete);
    }
    Ok((chunks, heads))
}

fn count(found: &PgRow, column: usize) -> Result<u64, StoreError> {
    row::big_count(found, column)
}

fn opt_count(found: &PgRow, column: usize) -> Result<Option<u64>, StoreError> {
    Ok(row::get::<Option<i64>>(found, column)?.map(i64::unsigned_abs))
}

fn info(found: &PgRow) -> Result<(LogKey, LogInfo), StoreError> {
    let log =
        LogKey { run_id: RunId(row::get(found, 0)?), key: row::key(found, 1, 2)?, dispatch_no: row::count(found, 3)? };
    let first_error = match (opt_count(found, 6)?, opt_count(found, 7)?, row::get::<Option<String>>(found, 8)?) {
        (Some(line), Some(offset), Some(text)) => Some(LogMark { line, offset, text }),
        _ => None,
    };
    let gap = match (opt_count(found, 9)?, opt_count(found, 10)?, opt_count(found, 11)?) {
        (Some(from), Some(until), Some(lines)) => Some(LogGap { from, until, lines }),
        _ => None,
    };
    let info = LogInfo {
        bytes: count(found, 4)?,
        lines: count(found, 5)?,
        first_error,
        gap,
        complete: row::get(found, 12)?,
        updated_at: row::at(found, 13)?,
    };
    Ok((log, info))
}

fn chunk(found: &PgRow) -> Result<LogChunk, StoreError> {
    Ok(LogChunk {
        offset: count(found, 0)?,
        first_line: count(found, 1)?,
        lines: count(found, 2)?,
        bytes: count(found, 3)?,
        levels: u8::try_from(row::get::<i16>(found, 4)?).unwrap_or(u8::MAX),
        body: row::get(found, 5)?,
    })
}

fn largest(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[async_trait]
impl Logs for PgStore {
    async fn append(&self, parts: &[LogPart], at: Timestamp) -> Result<(), StoreError> {
        if parts.is_empty() {
            return Ok(());
        }
        let (chunks, heads) = encode(parts)?;
        let inner = Arc::clone(&self.inner);
        guarded(Lost::Commit, async move {
            let mut lease = inner.logs.lease().await?;
            inner.counters.round_trip(Purpose::Logs);
            let written = sqlx::query(sql::LOG_APPEND)
                .bind(chunks.keys.runs)
                .bind(chunks.keys.tasks)
                .bind(chunks.keys.map_indexes)
                .bind(chunks.keys.numbers)
                .bind(chunks.offsets)
                .bind(chunks.first_lines)
                .bind(chunks.lines)
                .bind(chunks.bytes)
                .bind(chunks.levels)
                .bind(chunks.bodies)
                .bind(heads.keys.runs)
                .bind(heads.keys.tasks)
                .bind(heads.keys.map_indexes)
                .bind(heads.keys.numbers)
                .bind(heads.bytes)
                .bind(heads.lines)
                .bind(heads.error_lines)
                .bind(heads.error_offsets)
                .bind(heads.error_texts)
                .bind(heads.gap_from)
                .bind(heads.gap_until)
                .bind(heads.gap_lines)
                .bind(heads.complete)
                .bind(at.to_datetime())
                .execute(&mut lease.connection)
                .await;
            lease.settle(written).map_err(|error| error::of_commit(&error))?;
            inner.counters.committed(Purpose::Logs);
            Ok(())
        })
        .await
    }

    async fn info(&self, log: &LogKey) -> Result<Option<LogInfo>, StoreError> {
        let (run, task, map_index, number) =
            (log.run_id.0, log.key.task.to_string(), log.key.map_index.0, number(log)?);
        let found = self
            .read(move |connection| {
                Box::pin(async move {
                    sqlx::query(sql::LOG_INFO)
                        .bind(run)
                        .bind(task)
                        .bind(map_index)
                        .bind(number)
                        .fetch_optional(connection)
                        .await
                })
            })
            .await?;
        found.as_ref().map(|found| info(found).map(|(_, info)| info)).transpose()
    }

    async fn infos(&self, run: RunId) -> Result<Vec<(LogKey, LogInfo)>, StoreError> {
        let found = self.read(move |c| Box::pin(sqlx::query(sql::LOG_INFOS).bind(run.0).fetch_all(c))).await?;
        found.iter().map(info).collect()
    }

    async fn chunks(&self, log: &LogKey, from: LogAt, limit_bytes: u64) -> Result<Vec<LogChunk>, StoreError> {
        let (run, task, map_index, number) =
            (log.run_id.0, log.key.task.to_string(), log.key.map_index.0, number(log)?);
        let found = self
            .read(move |connection| {
                Box::pin(async move {
                    let offset = match from {
                        LogAt::Offset(offset) => largest(offset),
                        LogAt::Line(line) => sqlx::query_scalar(sql::LOG_LINE)
                            .bind(run)
                            .bind(task.as_str())
                            .bind(map_index)
                            .bind(number)
                            .bind(largest(line))
                            .fetch_optional(&mut *connection)
                            .await?
                            .unwrap_or(0),
                    };
                    sqlx::query(sql::LOG_CHUNKS)
                        .bind(run)
                        .bind(task.as_str())
                        .bind(map_index)
                        .bind(number)
                        .bind(offset)
                        .bind(largest(limit_bytes))
                        .fetch_all(connection)
                        .await
                })
            })
            .await?;
        found.iter().map(chunk).collect()
    }

    async fn followed(&self, run: RunId) -> Result<(), StoreError> {
        self.inner.notifier.hint(vec![Wake::Followed(run)]);
        Ok(())
    }

    async fn purge_logs(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let inner = Arc::clone(&self.inner);
        guarded(Lost::Commit, async move {
            let mut lease = inner.logs.lease().await?;
            inner.counters.round_trip(Purpose::Logs);
            let removed = sqlx::query(sql::LOG_PURGE)
                .bind(before.to_datetime())
                .bind(i64::from(limit))
                .bind(first_run_at(before).0)
                .fetch_all(&mut lease.connection)
                .await;
            let removed = lease.settle(removed).map_err(|error| error::of_commit(&error))?.len() as u64;
            if removed > 0 {
                inner.counters.committed(Purpose::Logs);
            }
            Ok(removed)
        })
        .await
    }
}
