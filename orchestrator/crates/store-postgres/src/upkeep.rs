//! [`Upkeep`] on PostgreSQL. A job is one process's while that holds an advisory lock in a session of its own; the lock
//! goes with the session, however the process ends.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::ConnectOptions;
use updraft_model::id::RunId;
use updraft_model::time::Timestamp;
use updraft_store::logs::{LogChunk, LogKey, first_run_at};
use updraft_store::upkeep::{COMPACTED_BYTES, Turn, Upkeep};
use updraft_store::{Purpose, StoreError};

use crate::line::{Line, Lost, guarded};
use crate::target::Use;
use crate::{Inner, PgStore, error, kept, row};

const TURN: &str = "SELECT pg_try_advisory_lock(hashtextextended(current_schema() || ' upkeep ' || $1, 0))";

/// Tables of which a tenth changed since they were looked at; the server's own autovacuum may be slow or off.
const STALE: &str = "SELECT relname::text FROM pg_stat_user_tables WHERE schemaname = current_schema() \
AND n_mod_since_analyze > 1000 + n_live_tup / 10 ORDER BY relname";

/// $1 before, $2 limit. A run that somebody works on is left for the next time.
pub(crate) const PURGE_RUNS: &str = "/* purge runs */ WITH old AS MATERIALIZED (
    SELECT run_id FROM run WHERE ended_at < $1 ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED
), chunks AS (DELETE FROM log_chunk x USING old WHERE x.run_id = old.run_id),
logs AS (DELETE FROM attempt_log x USING old WHERE x.run_id = old.run_id),
items AS (DELETE FROM task_item x USING old WHERE x.run_id = old.run_id),
metrics AS (DELETE FROM run_metric x USING old WHERE x.run_id = old.run_id),
attempts AS (DELETE FROM attempt x USING old WHERE x.run_id = old.run_id),
task_runs AS (DELETE FROM task_run x USING old WHERE x.run_id = old.run_id),
kept AS (DELETE FROM task_state x USING old WHERE x.run_id = old.run_id),
notes AS (DELETE FROM run_note x USING old WHERE x.run_id = old.run_id),
events AS (DELETE FROM run_log x USING old WHERE x.run_id = old.run_id)
DELETE FROM run x USING old WHERE x.run_id = old.run_id RETURNING 1";

/// $1 first run, $2 the first run that is too young, $3 before, $4 bytes of a good piece, $5 limit. Pieces are counted in
/// the index alone.
pub(crate) const SCATTERED: &str = "/* scattered logs */ SELECT l.run_id, l.task_id, l.map_index, l.dispatch_no FROM (
    SELECT run_id, task_id, map_index, dispatch_no, count(*) AS pieces FROM log_chunk
    WHERE run_id >= $1 AND run_id < $2 GROUP BY run_id, task_id, map_index, dispatch_no HAVING count(*) > 1) c
JOIN attempt_log l USING (run_id, task_id, map_index, dispatch_no)
WHERE l.complete AND l.updated_at < $3 AND c.pieces > CASE WHEN l.gap_from IS NULL THEN 1 ELSE 2 END
    AND 2 * (l.bytes - coalesce(l.gap_until - l.gap_from, 0)) < c.pieces * $4 ORDER BY l.run_id LIMIT $5";

/// $1–$4 key, $5 offset, $6 first line, $7 lines, $8 bytes, $9 levels, $10 body. The first piece becomes the whole.
const REPLACE: &str = "/* replace chunks */ WITH gone AS (
    DELETE FROM log_chunk WHERE run_id = $1 AND task_id = $2 AND map_index = $3 AND dispatch_no = $4
        AND byte_offset > $5 AND byte_offset < $5 + $8
) UPDATE log_chunk SET first_line = $6, lines = $7, bytes = $8, levels = $9, body = $10
WHERE run_id = $1 AND task_id = $2 AND map_index = $3 AND dispatch_no = $4 AND byte_offset = $5 RETURNING 1";

fn line(inner: &Inner) -> &Arc<Line> {
    &inner.logs
}

#[async_trait]
impl Upkeep for PgStore {
    async fn turn(&self, job: &str) -> Result<Option<Turn>, StoreError> {
        let (options, job) = (self.inner.target.options(Use::Accounts), job.to_owned());
        guarded(Lost::Nothing, async move {
            let mut session = options.connect().await.map_err(|error| error::plain(&error))?;
            let ours: bool = sqlx::query_scalar(TURN)
                .bind(job)
                .fetch_one(&mut session)
                .await
                .map_err(|error| error::plain(&error))?;
            // Dropped, the session ends, and with it the lock.
            Ok(ours.then(|| Turn::held(std::sync::Mutex::new(session))))
        })
        .await
    }

    async fn refresh_statistics(&self) -> Result<(), StoreError> {
        let stale =
            self.ask(line, Purpose::Admin, Lost::Nothing, |c| Box::pin(sqlx::query(STALE).fetch_all(c))).await?;
        for table in &stale {
            let name: String = row::get(table, 0)?;
            // A name out of the catalogue, quoted all the same.
            let statement = format!("ANALYZE \"{}\"", name.replace('"', "\"\""));
            let analyze = sqlx::query(sqlx::AssertSqlSafe(statement));
            self.ask(line, Purpose::Admin, Lost::Nothing, move |c| Box::pin(analyze.fetch_all(c))).await?;
        }
        Ok(())
    }

    async fn purge_runs(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let query = sqlx::query(PURGE_RUNS).bind(before.to_datetime()).bind(i64::from(limit));
        let gone = self.ask(line, Purpose::Admin, Lost::Commit, move |c| Box::pin(query.fetch_all(c))).await?;
        self.committed(Purpose::Admin, !gone.is_empty());
        Ok(gone.len() as u64)
    }

    async fn scattered_logs(&self, from: RunId, before: Timestamp, limit: u32) -> Result<Vec<LogKey>, StoreError> {
        let query = sqlx::query(SCATTERED)
            .bind(from.0)
            .bind(first_run_at(before).0)
            .bind(before.to_datetime())
            .bind(i64::try_from(COMPACTED_BYTES).unwrap_or(i64::MAX))
            .bind(i64::from(limit));
        let found = self.ask(line, Purpose::Read, Lost::Nothing, move |c| Box::pin(query.fetch_all(c))).await?;
        let key = |found: &sqlx::postgres::PgRow| {
            Ok(LogKey {
                run_id: RunId(row::get(found, 0)?),
                key: row::key(found, 1, 2)?,
                dispatch_no: row::count(found, 3)?,
            })
        };
        found.iter().map(key).collect()
    }

    async fn replace_chunks(&self, log: &LogKey, whole: &LogChunk) -> Result<(), StoreError> {
        let query = sqlx::query(REPLACE)
            .bind(log.run_id.0)
            .bind(log.key.task.to_string())
            .bind(log.key.map_index.0)
            .bind(i64::from(log.dispatch_no))
            .bind(kept::number(whole.offset)?)
            .bind(kept::number(whole.first_line)?)
            .bind(kept::number(whole.lines)?)
            .bind(kept::number(whole.bytes)?)
            .bind(i16::from(whole.levels))
            .bind(whole.body.clone());
        let put = self.ask(line, Purpose::Logs, Lost::Commit, move |c| Box::pin(query.fetch_all(c))).await?;
        self.committed(Purpose::Logs, !put.is_empty());
        Ok(())
    }
}
