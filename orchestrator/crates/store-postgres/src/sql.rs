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
pub(crate) const WITHDRAW: &str = include_str!("../queries/withdraw.sql");
pub(crate) const FLAG: &str = include_str!("../queries/flag.sql");
pub(crate) const OUTCOME: &str = include_str!("../queries/outcome.sql");
pub(crate) const BEAT: &str = include_str!("../queries/beat.sql");
pub(crate) const PEERS: &str = include_str!("../queries/peers.sql");
pub(crate) const REGISTER: &str = include_str!("../queries/register.sql");
pub(crate) const LOCK_WORKER: &str = include_str!("../queries/lock_worker.sql");
pub(crate) const RUNS: &str = include_str!("../queries/runs.sql");
pub(crate) const RUN: &str = include_str!("../queries/run.sql");

/// `CREATE SCHEMA`: a name cannot be a parameter. The target admits plain names only.
pub(crate) fn create_schema(target: &Target) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {}", target.schema())))
}
