//! The group commit: one prepared statement, one round trip (`queries/commit.sql`), and what its answer means.

use std::collections::HashSet;

use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use updraft_model::id::{MapIndex, RunId, TaskId, TaskKey};
use updraft_store::{Committed, Counters, Purpose, Refusal, StoreError};
use uuid::Uuid;

use crate::batch::Encoded;
use crate::error;
use crate::row;
use crate::sql;

/// Constraints that a new run meets if there is one with its id or its key. The parts of a statement are written in no
/// fixed order: the log may be the first to notice.
pub(crate) const RUN_EXISTS: &[&str] = &["run_pkey", "run_workflow_id_run_key_key", "run_log_pkey"];

/// How often a commit is sent whose new runs collide with runs that are gone at the second look.
const TRIES: u32 = 3;

impl Encoded {
    async fn send(&self, connection: &mut PgConnection) -> Result<Vec<PgRow>, sqlx::Error> {
        sqlx::query(sql::COMMIT)
            .bind(self.runs.as_str())
            .bind(self.ended.as_str())
            .bind(self.removed.as_str())
            .bind(self.task_runs.as_str())
            .bind(self.work.as_str())
            .bind(self.items.as_str())
            .bind(self.metrics.as_str())
            .bind(self.at)
            .bind(self.worker_no)
            .bind(self.claims)
            .bind(self.queue.as_str())
            .bind(self.attempts.as_slice())
            .fetch_all(connection)
            .await
    }

    /// Sends the statement and reads its answer. A new run that exists already undoes the statement; a second one says
    /// which it was.
    pub(crate) async fn execute(
        &self,
        connection: &mut PgConnection,
        counters: &Counters,
    ) -> Result<Result<Committed, StoreError>, sqlx::Error> {
        let makes_runs = self.parts.iter().any(|(_, key)| key.is_some());
        for _ in 0..TRIES {
            counters.round_trip(Purpose::Engine);
            let rows = match self.send(connection).await {
                Ok(rows) => Some(rows),
                Err(error) if makes_runs && error::is_duplicate_of(&error, RUN_EXISTS) => None,
                Err(error) => return Err(error),
            };
            let mut answer = match &rows {
                Some(rows) => match self.answer(rows) {
                    Ok(answer) => answer,
                    Err(error) => return Ok(Err(error)),
                },
                None => Committed::Refused { runs: Vec::new(), worker_inactive: false },
            };
            if let Committed::Refused { runs, worker_inactive } = &mut answer {
                runs.extend(self.taken(connection, counters).await?);
                runs.sort_by_key(|(run, _)| *run);
                if runs.is_empty() && !*worker_inactive {
                    // The run that stood in the way is gone again: its commit was rolled back.
                    continue;
                }
            }
            return Ok(Ok(answer));
        }
        Ok(Err(StoreError::Conflict("new runs appear and disappear under their keys".to_owned())))
    }

    /// The new runs that exist.
    async fn taken(
        &self,
        connection: &mut PgConnection,
        counters: &Counters,
    ) -> Result<Vec<(RunId, Refusal)>, sqlx::Error> {
        let new = || self.parts.iter().filter_map(|(run, key)| key.as_ref().map(|key| (run, key)));
        let runs: Vec<Uuid> = new().map(|(run, _)| run.0).collect();
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let workflows: Vec<i64> = new().map(|(_, (workflow, _))| *workflow).collect();
        let keys: Vec<&str> = new().map(|(_, (_, key))| key.as_str()).collect();
        counters.round_trip(Purpose::Engine);
        let taken: Vec<(Uuid,)> =
            sqlx::query_as(sql::TAKEN).bind(runs).bind(workflows).bind(keys).fetch_all(connection).await?;
        Ok(taken.into_iter().map(|(run,)| (RunId(run), Refusal::KeyTaken)).collect())
    }

    /// Reads the statement's answer.
    fn answer(&self, rows: &[PgRow]) -> Result<Committed, StoreError> {
        let first =
            rows.first().ok_or_else(|| StoreError::Other("the commit's statement answered nothing".to_owned()))?;
        if row::get(first, 15)? {
            let mut picked = Vec::new();
            for one in rows {
                if row::get::<Option<Uuid>>(one, 0)?.is_some() {
                    picked.push(row::work(one)?);
                }
            }
            picked.sort_by(|a, b| (a.rank, a.run_id, &a.dispatch.key).cmp(&(b.rank, b.run_id, &b.dispatch.key)));
            return Ok(Committed::Applied { picked });
        }
        let why: Why = row::json(row::get(first, 16)?, ("run", "version"), "the commit's answer")?;
        let refusal = |(run, new): &(RunId, Option<(i64, String)>)| {
            if new.is_some() {
                return None;
            }
            // A stale run shows up among the fenced too: its lock decides first.
            if !why.held.contains(run) {
                return Some((*run, Refusal::Contended));
            }
            let keys: Vec<TaskKey> = why
                .fenced
                .iter()
                .filter(|(of, _, _)| of == run)
                .map(|(_, task, map_index)| TaskKey { task: task.clone(), map_index: *map_index })
                .collect();
            (!keys.is_empty()).then_some((*run, Refusal::Fenced(keys)))
        };
        Ok(Committed::Refused {
            runs: self.parts.iter().filter_map(refusal).collect(),
            worker_inactive: self.claims && !why.active,
        })
    }
}

/// Why a statement wrote nothing.
#[derive(serde::Deserialize)]
struct Why {
    held: HashSet<RunId>,
    fenced: Vec<(RunId, TaskId, MapIndex)>,
    active: bool,
}
