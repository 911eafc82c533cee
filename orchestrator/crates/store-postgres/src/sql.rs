//! Every statement of this store, and the only place where SQL is made of anything but literals.

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres};

use crate::target::Target;

pub(crate) const COMMIT: &str = include_str!("../queries/commit.sql");
pub(crate) const TAKEN: &str = include_str!("../queries/taken.sql");
pub(crate) const CLAIM: &str = include_str!("../queries/claim.sql");
pub(crate) const DUE: &str = include_str!("../queries/due.sql");
pub(crate) const NEXT_DUE: &str = include_str!("../queries/next_due.sql");
pub(crate) const LOAD: &str = include_str!("../queries/load.sql");
pub(crate) const LOCK_RUN: &str = include_str!("../queries/lock_run.sql");
pub(crate) const LOCK_WORKFLOW: &str = include_str!("../queries/lock_workflow.sql");
pub(crate) const HOLD: &str = include_str!("../queries/hold.sql");
pub(crate) const WITHDRAW: &str = include_str!("../queries/withdraw.sql");
pub(crate) const FLAG: &str = include_str!("../queries/flag.sql");
pub(crate) const OUTCOME: &str = include_str!("../queries/outcome.sql");
pub(crate) const BEAT: &str = include_str!("../queries/beat.sql");
pub(crate) const EXECUTING: &str = include_str!("../queries/executing.sql");
pub(crate) const SUSPECT: &str = include_str!("../queries/suspect.sql");
pub(crate) const LOG_APPEND: &str = include_str!("../queries/log_append.sql");
pub(crate) const LOG_CHUNKS: &str = include_str!("../queries/log_chunks.sql");
pub(crate) const LOG_PURGE: &str = include_str!("../queries/log_purge.sql");
pub(crate) const LOG_INFO: &str = "SELECT run_id, task_id, map_index, dispatch_no, bytes, lines, error_line, error_offset, \
    error_text, gap_from, gap_until, gap_lines, complete, updated_at FROM attempt_log \
    WHERE run_id = $1 AND task_id = $2 AND map_index = $3 AND dispatch_no = $4";
pub(crate) const LOG_INFOS: &str = "SELECT run_id, task_id, map_index, dispatch_no, bytes, lines, error_line, error_offset, \
    error_text, gap_from, gap_until, gap_lines, complete, updated_at FROM attempt_log \
    WHERE run_id = $1 ORDER BY task_id, map_index, dispatch_no";
pub(crate) const LOG_LINE: &str = "SELECT byte_offset FROM log_chunk WHERE run_id = $1 AND task_id = $2 AND map_index = $3 \
    AND dispatch_no = $4 AND first_line <= $5 ORDER BY byte_offset DESC LIMIT 1";
pub(crate) const PEERS: &str = include_str!("../queries/peers.sql");
pub(crate) const REGISTER: &str = include_str!("../queries/register.sql");
pub(crate) const LOCK_WORKER: &str = include_str!("../queries/lock_worker.sql");
pub(crate) const RUNS: &str = include_str!("../queries/runs.sql");
pub(crate) const RUN: &str = include_str!("../queries/run.sql");

/// `CREATE SCHEMA`: a name cannot be a parameter. The target admits plain names only.
pub(crate) fn create_schema(target: &Target) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {}", target.schema())))
}
