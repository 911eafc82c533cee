//! [`Logs`] for SQLite: writes join the writer's group commit, reads take the readers' connections.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Arguments;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use updraft_model::id::{MapIndex, RunId, TaskId, TaskKey};
use updraft_model::time::Timestamp;
use updraft_store::logs::{LogAt, LogChunk, LogGap, LogInfo, LogKey, LogMark, LogPart, Logs, first_run_at};
use updraft_store::{Counters, Purpose, StoreError, Wake, check};

use crate::load::{arguments, fetch};
use crate::read_pool::ReadPool;
use crate::reader::SqliteReader;
use crate::rows::{Reading, to_i64, uuid};
use crate::store::SqliteStore;
use crate::writer::Write;

/// $1 run, $2 task, $3 map index, $4 dispatch number, $5 offset, $6 first line, $7 lines, $8 bytes, $9 levels, $10 body.
pub(crate) const PUT_CHUNK: &str = "/* log chunk */ INSERT INTO log_chunk \
(run_id, task_id, map_index, dispatch_no, byte_offset, first_line, lines, bytes, levels, body) \
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
ON CONFLICT (run_id, task_id, map_index, dispatch_no, byte_offset) DO NOTHING RETURNING 1";

/// $1–$4 key, $5 bytes, $6 lines, $7–$9 first error, $10–$12 gap, $13 complete, $14 now. Chunks inside the gap go.
pub(crate) const PUT_HEAD: &str = "/* log head */ DELETE FROM log_chunk WHERE $10 IS NOT NULL AND run_id = $1 AND task_id = $2 \
AND map_index = $3 AND dispatch_no = $4 AND byte_offset >= $10 AND byte_offset + bytes <= $11; \
INSERT INTO attempt_log AS old (run_id, task_id, map_index, dispatch_no, bytes, lines, error_line, error_offset, error_text, \
gap_from, gap_until, gap_lines, complete, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
ON CONFLICT (run_id, task_id, map_index, dispatch_no) DO UPDATE SET bytes = max(old.bytes, excluded.bytes), \
lines = max(old.lines, excluded.lines), \
error_line = ifnull(old.error_line, excluded.error_line), error_offset = ifnull(old.error_offset, excluded.error_offset), \
error_text = ifnull(old.error_text, excluded.error_text), gap_from = ifnull(excluded.gap_from, old.gap_from), \
gap_until = ifnull(excluded.gap_until, old.gap_until), gap_lines = ifnull(excluded.gap_lines, old.gap_lines), \
complete = max(old.complete, excluded.complete), updated_at = excluded.updated_at RETURNING 1";

/// $1–$4 key.
pub(crate) const INFO: &str = "/* log info */ SELECT run_id, task_id, map_index, dispatch_no, bytes, lines, error_line, \
error_offset, error_text, gap_from, gap_until, gap_lines, complete, updated_at FROM attempt_log \
WHERE run_id = $1 AND task_id = $2 AND map_index = $3 AND dispatch_no = $4";

/// $1 run.
pub(crate) const INFOS: &str = "/* log infos */ SELECT run_id, task_id, map_index, dispatch_no, bytes, lines, error_line, \
error_offset, error_text, gap_from, gap_until, gap_lines, complete, updated_at FROM attempt_log \
WHERE run_id = $1 ORDER BY task_id, map_index, dispatch_no";

/// $1–$4 key, $5 offset, $6 bytes to take.
pub(crate) const CHUNKS: &str = "/* log chunks */ SELECT c.byte_offset, c.first_line, c.lines, c.bytes, c.levels, c.body FROM ( \
SELECT byte_offset, sum(bytes) OVER (ORDER BY byte_offset) - bytes AS before FROM ( \
SELECT byte_offset, bytes FROM log_chunk WHERE run_id = $1 AND task_id = $2 AND map_index = $3 AND dispatch_no = $4 \
AND byte_offset >= ifnull((SELECT max(byte_offset) FROM log_chunk WHERE run_id = $1 AND task_id = $2 AND map_index = $3 \
AND dispatch_no = $4 AND byte_offset <= $5), 0) ORDER BY byte_offset LIMIT 256)) k \
CROSS JOIN log_chunk c ON c.run_id = $1 AND c.task_id = $2 AND c.map_index = $3 AND c.dispatch_no = $4 \
AND c.byte_offset = k.byte_offset WHERE k.before = 0 OR k.before < $6 ORDER BY c.byte_offset";

/// $1–$4 key, $5 line.
pub(crate) const LINE: &str = "/* log line */ SELECT byte_offset FROM log_chunk WHERE run_id = $1 AND task_id = $2 \
AND map_index = $3 AND dispatch_no = $4 AND first_line <= $5 ORDER BY byte_offset DESC LIMIT 1";

/// $1 before, $2 limit, $3 the first run that is not older. The last statement's rows are the logs.
pub(crate) const PURGE: &str = "/* purge logs */ CREATE TEMP TABLE IF NOT EXISTS old_log \
(run_id TEXT, task_id TEXT, map_index INTEGER, dispatch_no INTEGER); DELETE FROM temp.old_log; \
INSERT INTO temp.old_log SELECT run_id, task_id, map_index, dispatch_no FROM attempt_log l WHERE run_id < $3 AND updated_at < $1 \
AND NOT EXISTS (SELECT 1 FROM run r WHERE r.run_id = l.run_id AND r.state NOT IN ('succeeded', 'failed', 'cancelled')) \
ORDER BY run_id LIMIT $2; \
DELETE FROM log_chunk WHERE (run_id, task_id, map_index, dispatch_no) IN (SELECT run_id, task_id, map_index, dispatch_no FROM temp.old_log); \
DELETE FROM attempt_log WHERE (run_id, task_id, map_index, dispatch_no) IN (SELECT run_id, task_id, map_index, dispatch_no FROM temp.old_log) \
RETURNING 1";

fn add_key(a: &mut SqliteArguments, log: &LogKey) -> Result<(), sqlx::error::BoxDynError> {
    a.add(log.run_id.to_string())?;
    a.add(log.key.task.as_str())?;
    a.add(log.key.map_index.0)?;
    a.add(i64::from(log.dispatch_no))
}

fn of_key(log: &LogKey) -> Result<SqliteArguments, StoreError> {
    arguments(|a| add_key(a, log))
}

fn put_chunk(log: &LogKey, chunk: &LogChunk) -> Result<Write, StoreError> {
    let (offset, first, lines, bytes) =
        (to_i64(chunk.offset)?, to_i64(chunk.first_line)?, to_i64(chunk.lines)?, to_i64(chunk.bytes)?);
    let arguments = arguments(|a| {
        add_key(a, log)?;
        a.add(offset)?;
        a.add(first)?;
        a.add(lines)?;
        a.add(bytes)?;
        a.add(i64::from(chunk.levels))?;
        a.add(chunk.body.clone())
    })?;
    Ok(Write { sql: PUT_CHUNK, arguments, purpose: Purpose::Logs, single: true, wrote: |rows| !rows.is_empty() })
}

fn put_head(part: &LogPart, at: Timestamp) -> Result<Write, StoreError> {
    let (bytes, lines) = (to_i64(part.bytes)?, to_i64(part.lines)?);
    let error = part.first_error.as_ref();
    let error_at = error.map(|mark| Ok::<_, StoreError>((to_i64(mark.line)?, to_i64(mark.offset)?))).transpose()?;
    let gap = part.gap.map(|gap| Ok::<_, StoreError>((to_i64(gap.from)?, to_i64(gap.until)?, to_i64(gap.lines)?)));
    let gap = gap.transpose()?;
    if let Some(mark) = error {
        check::text("log", &mark.text, usize::MAX)?;
    }
    let arguments = arguments(|a| {
        add_key(a, &part.log)?;
        a.add(bytes)?;
        a.add(lines)?;
        a.add(error_at.map(|(line, _)| line))?;
        a.add(error_at.map(|(_, offset)| offset))?;
        a.add(error.map(|mark| mark.text.clone()))?;
        a.add(gap.map(|(from, ..)| from))?;
        a.add(gap.map(|(_, until, _)| until))?;
        a.add(gap.map(|(.., lines)| lines))?;
        a.add(i64::from(part.complete))?;
        a.add(at.as_millis())
    })?;
    Ok(Write { sql: PUT_HEAD, arguments, purpose: Purpose::Logs, single: false, wrote: |rows| !rows.is_empty() })
}

/// Counts read from a table whose CHECKs keep them from being negative.
fn count(row: &Reading<'_>, column: &'static str) -> Result<u64, StoreError> {
    row.get::<i64>(column).map(i64::unsigned_abs)
}

fn info(row: &SqliteRow) -> Result<(LogKey, LogInfo), StoreError> {
    let r = Reading::new(row, "attempt_log");
    let log = LogKey {
        run_id: RunId(uuid(r.get("run_id")?, "attempt_log", "run_id")?),
        key: TaskKey { task: TaskId::from(r.get::<&str>("task_id")?), map_index: MapIndex(r.get("map_index")?) },
        dispatch_no: r.get("dispatch_no")?,
    };
    let first_error = match r.get::<Option<String>>("error_text")? {
        Some(text) => Some(LogMark { line: count(&r, "error_line")?, offset: count(&r, "error_offset")?, text }),
        None => None,
    };
    let gap = match r.get::<Option<i64>>("gap_from")? {
        Some(from) => {
            Some(LogGap { from: from.unsigned_abs(), until: count(&r, "gap_until")?, lines: count(&r, "gap_lines")? })
        }
        None => None,
    };
    let info = LogInfo {
        bytes: count(&r, "bytes")?,
        lines: count(&r, "lines")?,
        first_error,
        gap,
        complete: r.get::<i64>("complete")? != 0,
        updated_at: Timestamp::from_millis(r.get("updated_at")?),
    };
    Ok((log, info))
}

fn chunk(row: &SqliteRow) -> Result<LogChunk, StoreError> {
    let r = Reading::new(row, "log_chunk");
    Ok(LogChunk {
        offset: count(&r, "byte_offset")?,
        first_line: count(&r, "first_line")?,
        lines: count(&r, "lines")?,
        bytes: count(&r, "bytes")?,
        levels: u8::try_from(r.get::<i64>("levels")?).unwrap_or(u8::MAX),
        body: r.get("body")?,
    })
}

/// Reads of logs, for the owner and for others.
pub(crate) struct LogReads<'a> {
    pub(crate) pool: &'a Arc<ReadPool>,
    pub(crate) counters: &'a Counters,
}

impl LogReads<'_> {
    async fn read(&self, sql: &'static str, arguments: SqliteArguments) -> Result<Vec<SqliteRow>, StoreError> {
        self.counters.round_trip(Purpose::Read);
        self.pool.read(move |connection| Box::pin(async move { fetch(connection, sql, arguments).await })).await
    }

    async fn info(&self, log: &LogKey) -> Result<Option<LogInfo>, StoreError> {
        let found = self.read(INFO, of_key(log)?).await?;
        found.first().map(|row| info(row).map(|(_, info)| info)).transpose()
    }

    async fn infos(&self, run: RunId) -> Result<Vec<(LogKey, LogInfo)>, StoreError> {
        self.read(INFOS, arguments(|a| a.add(run.to_string()))?).await?.iter().map(info).collect()
    }

    async fn chunks(&self, log: &LogKey, from: LogAt, limit_bytes: u64) -> Result<Vec<LogChunk>, StoreError> {
        let largest = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let offset = match from {
            LogAt::Offset(offset) => largest(offset),
            LogAt::Line(line) => {
                let asked = arguments(|a| {
                    add_key(a, log)?;
                    a.add(largest(line))
                })?;
                let found = self.read(LINE, asked).await?;
                found.first().map_or(Ok(0), |row| Reading::new(row, "log_chunk").get("byte_offset"))?
            }
        };
        let asked = arguments(|a| {
            add_key(a, log)?;
            a.add(offset)?;
            a.add(largest(limit_bytes))
        })?;
        self.read(CHUNKS, asked).await?.iter().map(chunk).collect()
    }
}

#[async_trait]
impl Logs for SqliteStore {
    /// Sent one behind the other, so that they share one commit, with whatever the engine commits at that moment.
    async fn append(&self, parts: &[LogPart], at: Timestamp) -> Result<(), StoreError> {
        let mut writes = Vec::new();
        for part in parts {
            for chunk in &part.chunks {
                writes.push(put_chunk(&part.log, chunk)?);
            }
            writes.push(put_head(part, at)?);
        }
        let done = futures::future::join_all(writes.into_iter().map(|write| self.writer().write(write))).await;
        done.into_iter().try_for_each(|written| written.map(drop))
    }

    async fn info(&self, log: &LogKey) -> Result<Option<LogInfo>, StoreError> {
        self.log_reads().info(log).await
    }

    async fn infos(&self, run: RunId) -> Result<Vec<(LogKey, LogInfo)>, StoreError> {
        self.log_reads().infos(run).await
    }

    async fn chunks(&self, log: &LogKey, from: LogAt, limit_bytes: u64) -> Result<Vec<LogChunk>, StoreError> {
        self.log_reads().chunks(log, from, limit_bytes).await
    }

    async fn followed(&self, run: RunId) -> Result<(), StoreError> {
        self.wake(Wake::Followed(run));
        Ok(())
    }

    async fn purge_logs(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let arguments = arguments(|a| {
            a.add(before.as_millis())?;
            a.add(i64::from(limit))?;
            a.add(first_run_at(before).to_string())
        })?;
        let write =
            Write { sql: PURGE, arguments, purpose: Purpose::Logs, single: false, wrote: |rows| !rows.is_empty() };
        Ok(self.writer().write(write).await?.len() as u64)
    }
}

/// For a process that does not own the file: it reads.
#[async_trait]
impl Logs for SqliteReader {
    async fn append(&self, _: &[LogPart], _: Timestamp) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly("it only reads logs".to_owned()))
    }

    async fn info(&self, log: &LogKey) -> Result<Option<LogInfo>, StoreError> {
        self.log_reads().info(log).await
    }

    async fn infos(&self, run: RunId) -> Result<Vec<(LogKey, LogInfo)>, StoreError> {
        self.log_reads().infos(run).await
    }

    async fn chunks(&self, log: &LogKey, from: LogAt, limit_bytes: u64) -> Result<Vec<LogChunk>, StoreError> {
        self.log_reads().chunks(log, from, limit_bytes).await
    }

    /// The owner cannot be told this way; its logs come at its own pace.
    async fn followed(&self, _: RunId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn purge_logs(&self, _: Timestamp, _: u32) -> Result<u64, StoreError> {
        Err(StoreError::ReadOnly("it only reads logs".to_owned()))
    }
}
