//! [`Upkeep`] on SQLite: each call is one script of the writer, so nothing else writes between its statements.

use async_trait::async_trait;
use sqlx::Arguments;
use updraft_model::id::{MapIndex, RunId, TaskId, TaskKey};
use updraft_model::time::Timestamp;
use updraft_store::logs::{LogChunk, LogKey, first_run_at};
use updraft_store::upkeep::{COMPACTED_BYTES, Turn, Upkeep};
use updraft_store::{Purpose, StoreError};

use crate::load::arguments;
use crate::rows::{Reading, to_i64, uuid};
use crate::store::SqliteStore;
use crate::writer::Write;

/// Looks at so many rows of an index at most: enough for the planner, and never long.
const STATISTICS: &str = "/* statistics */ PRAGMA analysis_limit = 1000; PRAGMA optimize = 0x10002";

/// $1 before, $2 limit. The last statement's rows are the runs.
pub(crate) const PURGE_RUNS: &str = "/* purge runs */ CREATE TEMP TABLE IF NOT EXISTS old_run (run_id TEXT PRIMARY KEY); \
DELETE FROM temp.old_run; \
INSERT INTO temp.old_run SELECT run_id FROM run WHERE ended_at < $1 ORDER BY ended_at LIMIT $2; \
DELETE FROM log_chunk WHERE run_id IN (SELECT run_id FROM temp.old_run); \
DELETE FROM attempt_log WHERE run_id IN (SELECT run_id FROM temp.old_run); \
DELETE FROM task_item WHERE run_id IN (SELECT run_id FROM temp.old_run); \
DELETE FROM run_metric WHERE run_id IN (SELECT run_id FROM temp.old_run); \
DELETE FROM attempt WHERE run_id IN (SELECT run_id FROM temp.old_run); \
DELETE FROM task_run WHERE run_id IN (SELECT run_id FROM temp.old_run); \
DELETE FROM task_state WHERE run_id IN (SELECT run_id FROM temp.old_run); \
DELETE FROM run_note WHERE run_id IN (SELECT run_id FROM temp.old_run); \
DELETE FROM run_log WHERE run_id IN (SELECT run_id FROM temp.old_run); \
DELETE FROM run WHERE run_id IN (SELECT run_id FROM temp.old_run) RETURNING 1";

/// $1 first run, $2 the first run that is too young, $3 before, $4 bytes of a good piece, $5 limit. Pieces are counted in
/// the index alone.
pub(crate) const SCATTERED: &str = "/* scattered logs */ SELECT l.run_id, l.task_id, l.map_index, l.dispatch_no FROM ( \
SELECT run_id, task_id, map_index, dispatch_no, count(*) AS pieces FROM log_chunk WHERE run_id >= $1 AND run_id < $2 \
GROUP BY run_id, task_id, map_index, dispatch_no HAVING count(*) > 1) c \
CROSS JOIN attempt_log l ON l.run_id = c.run_id AND l.task_id = c.task_id AND l.map_index = c.map_index \
AND l.dispatch_no = c.dispatch_no WHERE l.complete = 1 AND l.updated_at < $3 AND c.pieces > 1 + (l.gap_from IS NOT NULL) \
AND 2 * (l.bytes - ifnull(l.gap_until - l.gap_from, 0)) < c.pieces * $4 ORDER BY l.run_id LIMIT $5";

/// $1–$4 key, $5 offset, $6 first line, $7 lines, $8 bytes, $9 levels, $10 body.
pub(crate) const REPLACE: &str = "/* replace chunks */ DELETE FROM log_chunk WHERE run_id = $1 AND task_id = $2 AND map_index = $3 \
AND dispatch_no = $4 AND byte_offset >= $5 AND byte_offset < $5 + $8; INSERT INTO log_chunk \
(run_id, task_id, map_index, dispatch_no, byte_offset, first_line, lines, bytes, levels, body) \
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 WHERE EXISTS (SELECT 1 FROM attempt_log WHERE run_id = $1 AND task_id = $2 \
AND map_index = $3 AND dispatch_no = $4) RETURNING 1";

impl SqliteStore {
    async fn keep_up(
        &self,
        purpose: Purpose,
        sql: &'static str,
        arguments: sqlx::sqlite::SqliteArguments,
    ) -> Result<u64, StoreError> {
        let write = Write { sql, arguments, purpose, single: false, wrote: |rows| !rows.is_empty() };
        Ok(self.writer().write(write).await?.len() as u64)
    }
}

#[async_trait]
impl Upkeep for SqliteStore {
    /// The file has one owner.
    async fn turn(&self, _: &str) -> Result<Option<Turn>, StoreError> {
        Ok(Some(Turn::alone()))
    }

    async fn refresh_statistics(&self) -> Result<(), StoreError> {
        self.keep_up(Purpose::Admin, STATISTICS, sqlx::sqlite::SqliteArguments::default()).await.map(drop)
    }

    async fn purge_runs(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let arguments = arguments(|a| {
            a.add(before.as_millis())?;
            a.add(i64::from(limit))
        })?;
        self.keep_up(Purpose::Admin, PURGE_RUNS, arguments).await
    }

    async fn scattered_logs(&self, from: RunId, before: Timestamp, limit: u32) -> Result<Vec<LogKey>, StoreError> {
        let asked = arguments(|a| {
            a.add(from.to_string())?;
            a.add(first_run_at(before).to_string())?;
            a.add(before.as_millis())?;
            a.add(i64::try_from(COMPACTED_BYTES).unwrap_or(i64::MAX))?;
            a.add(i64::from(limit))
        })?;
        let found = self.look(SCATTERED, asked).await?;
        let key = |row: &sqlx::sqlite::SqliteRow| {
            let r = Reading::new(row, "attempt_log");
            Ok(LogKey {
                run_id: RunId(uuid(r.get("run_id")?, "attempt_log", "run_id")?),
                key: TaskKey {
                    task: TaskId::from(r.get::<&str>("task_id")?),
                    map_index: MapIndex(r.get("map_index")?),
                },
                dispatch_no: r.get("dispatch_no")?,
            })
        };
        found.iter().map(key).collect()
    }

    async fn replace_chunks(&self, log: &LogKey, whole: &LogChunk) -> Result<(), StoreError> {
        let (offset, first, lines, bytes) =
            (to_i64(whole.offset)?, to_i64(whole.first_line)?, to_i64(whole.lines)?, to_i64(whole.bytes)?);
        let arguments = arguments(|a| {
            a.add(log.run_id.to_string())?;
            a.add(log.key.task.as_str())?;
            a.add(log.key.map_index.0)?;
            a.add(i64::from(log.dispatch_no))?;
            a.add(offset)?;
            a.add(first)?;
            a.add(lines)?;
            a.add(bytes)?;
            a.add(i64::from(whole.levels))?;
            a.add(whole.body.clone())
        })?;
        self.keep_up(Purpose::Logs, REPLACE, arguments).await.map(drop)
    }
}
