//! Workers: leases, the heartbeat session and its advisory lock (engine.md F34, F35).
//!
//! Each worker registered here has one connection of its own for its heartbeats. The lock belongs to that session, so
//! the server lets go of it when the process dies, whatever else happens. Behind a pooler a lock says nothing about the
//! process; then `lock_no` stays null and only the lease counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{ConnectOptions, Connection, PgConnection};
use updraft_model::id::WorkerNo;
use updraft_model::time::Timestamp;
use updraft_store::{Beaten, Counters, Look, Peer, Purpose, StoreError, WorkerInfo, WorkerState};
use uuid::Uuid;

use crate::error;
use crate::row;
use crate::sql;

/// Looks at the session's server process that must all be the same one.
const LOOKS: usize = 10;

/// The heartbeat sessions of the workers that this process registered.
pub(crate) struct Pulses {
    options: PgConnectOptions,
    by_worker: Mutex<HashMap<WorkerNo, Arc<tokio::sync::Mutex<Pulse>>>>,
    /// Sessions opened so far.
    sessions: AtomicU64,
}

struct Pulse {
    connection: Option<PgConnection>,
    /// Whether a lock of this connection would be evidence.
    direct: bool,
    locked: bool,
    /// Number of the session that `connection` is.
    session: u64,
}

impl Pulses {
    pub(crate) fn new(options: PgConnectOptions) -> Self {
        Self { options, by_worker: Mutex::new(HashMap::new()), sessions: AtomicU64::new(0) }
    }

    fn of(&self, worker: WorkerNo) -> Arc<tokio::sync::Mutex<Pulse>> {
        let mut all = self.by_worker.lock().unwrap_or_else(PoisonError::into_inner);
        let pulse = || Pulse { connection: None, direct: false, locked: false, session: 0 };
        Arc::clone(all.entry(worker).or_insert_with(|| Arc::new(tokio::sync::Mutex::new(pulse()))))
    }

    async fn connect(&self) -> Result<(PgConnection, u64), StoreError> {
        let connection = self.options.connect().await.map_err(|error| error::plain(&error))?;
        Ok((connection, self.sessions.fetch_add(1, Ordering::Relaxed) + 1))
    }

    /// Makes a worker known.
    pub(crate) async fn register(&self, counters: &Counters, info: &WorkerInfo) -> Result<WorkerNo, StoreError> {
        let (mut connection, session) = self.connect().await?;
        let mut other = self.options.connect().await.map_err(|error| error::plain(&error))?;
        let direct = is_direct(&mut connection, &mut other).await?;
        close(other).await;
        if !direct {
            tracing::warn!(
                "a pooler stands between this worker and PostgreSQL: its death is noticed by its lease only (40 s). \
                 Connect to the server directly for less"
            );
        }
        counters.round_trip(Purpose::Heartbeat);
        let worker_no: i64 = sqlx::query_scalar(sql::REGISTER)
            .bind(info.name.as_str())
            .bind(info.host.as_str())
            .bind(i64::from(info.pid))
            .bind(info.build.as_str())
            .bind(serde_json::to_string(&info.queues).map_err(|error| StoreError::Rejected(error.to_string()))?)
            .bind(i64::from(info.slots))
            .fetch_one(&mut connection)
            .await
            .map_err(|error| error::of_commit(&error))?;
        counters.committed(Purpose::Heartbeat);
        let worker = WorkerNo(worker_no);
        let mut locked = false;
        if direct {
            locked = lock(&mut connection, counters, worker).await?;
        }
        let pulse = self.of(worker);
        *pulse.lock().await = Pulse { connection: Some(connection), direct, locked, session };
        Ok(worker)
    }

    /// Renews the lease; takes the lock again if the session is a new one.
    pub(crate) async fn beat(&self, counters: &Counters, worker: WorkerNo) -> Result<Beaten, StoreError> {
        let pulse = self.of(worker);
        let mut pulse = pulse.lock().await;
        // Taken out while in use: whatever breaks the use closes the connection.
        let mut connection = if let Some(connection) = pulse.connection.take() {
            connection
        } else {
            pulse.locked = false;
            let (connection, session) = self.connect().await?;
            pulse.session = session;
            connection
        };
        if pulse.direct && !pulse.locked {
            // Refused while the server has not yet noticed the end of the session before: the next beat tries again.
            pulse.locked = lock(&mut connection, counters, worker).await?;
        }
        counters.round_trip(Purpose::Heartbeat);
        let rows =
            sqlx::query(sql::BEAT).bind(worker.0).bind(pulse.locked || !pulse.direct).fetch_all(&mut connection).await;
        let rows = rows.map_err(|error| error::of_commit(&error))?;
        pulse.connection = Some(connection);
        let first = rows.first().ok_or_else(|| StoreError::Other("a heartbeat was not answered".to_owned()))?;
        let active = row::get(first, 15)?;
        let now = row::at(first, 16)?;
        if active {
            counters.committed(Purpose::Heartbeat);
        }
        let mut executing = Vec::new();
        for one in &rows {
            if row::get::<Option<Uuid>>(one, 0)?.is_some() {
                executing.push(row::work(one)?);
            }
        }
        executing.sort_by(|a, b| (a.run_id, &a.dispatch.key).cmp(&(b.run_id, &b.dispatch.key)));
        Ok(Beaten { executing, active, now })
    }

    /// Looks at all workers through this worker's session; does not open a new one, for that is a beat's business.
    pub(crate) async fn look(&self, counters: &Counters, worker: WorkerNo) -> Result<Look, StoreError> {
        let pulse = self.of(worker);
        let mut pulse = pulse.lock().await;
        let Some(mut connection) = pulse.connection.take() else {
            return Err(StoreError::Unavailable("the heartbeat's session is broken".to_owned()));
        };
        counters.round_trip(Purpose::Heartbeat);
        let rows = sqlx::query(sql::PEERS).fetch_all(&mut connection).await.map_err(|error| error::plain(&error))?;
        pulse.connection = Some(connection);
        let first = rows.first().ok_or_else(|| StoreError::Other("a look found no worker at all".to_owned()))?;
        let peers = rows.iter().map(peer).collect::<Result<Vec<_>, _>>()?;
        Ok(Look { session: pulse.session, peers, now: row::at(first, 11)?, certain: false })
    }

    /// Says good-bye and ends the session.
    pub(crate) async fn leave(&self, counters: &Counters, worker: WorkerNo) -> Result<(), StoreError> {
        let pulse = self.of(worker);
        let mut pulse = pulse.lock().await;
        let mut connection = match pulse.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(|error| error::plain(&error))?,
        };
        counters.round_trip(Purpose::Heartbeat);
        let left = sqlx::query(
            "UPDATE worker SET state = 'gone' WHERE worker_no = $1 AND state IN ('active', 'draining', 'suspect')",
        )
        .bind(worker.0)
        .execute(&mut connection)
        .await
        .map_err(|error| error::of_commit(&error))?;
        if left.rows_affected() > 0 {
            counters.committed(Purpose::Heartbeat);
        }
        close(connection).await;
        self.by_worker.lock().unwrap_or_else(PoisonError::into_inner).remove(&worker);
        Ok(())
    }

    /// Ends all sessions; leases run out, locks are gone at once.
    pub(crate) async fn close(&self) {
        let all = std::mem::take(&mut *self.by_worker.lock().unwrap_or_else(PoisonError::into_inner));
        for pulse in all.into_values() {
            if let Some(connection) = pulse.lock().await.connection.take() {
                close(connection).await;
            }
        }
    }
}

async fn close(connection: PgConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "a heartbeat session did not close in good order");
    }
}

/// Takes the session's lock and says in the worker's row that it is evidence.
async fn lock(connection: &mut PgConnection, counters: &Counters, worker: WorkerNo) -> Result<bool, StoreError> {
    counters.round_trip(Purpose::Heartbeat);
    let locked: bool = sqlx::query_scalar(sql::LOCK_WORKER)
        .bind(worker.0)
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| error::plain(&error))?;
    if locked {
        counters.round_trip(Purpose::Heartbeat);
        sqlx::query("UPDATE worker SET lock_no = worker_no WHERE worker_no = $1")
            .bind(worker.0)
            .execute(connection)
            .await
            .map_err(|error| error::of_commit(&error))?;
        counters.committed(Purpose::Heartbeat);
    }
    Ok(locked)
}

/// Whether this connection has a server process to itself. A pooler hands one process to several connections, or several
/// to one: ten looks, alternating with another connection of ours.
async fn is_direct(connection: &mut PgConnection, other: &mut PgConnection) -> Result<bool, StoreError> {
    let mut mine = Vec::with_capacity(LOOKS);
    let mut others = Vec::with_capacity(LOOKS);
    for _ in 0..LOOKS {
        mine.push(backend(connection).await?);
        others.push(backend(other).await?);
    }
    Ok(speaks_to_one_process(&mine, &others))
}

async fn backend(connection: &mut PgConnection) -> Result<i32, StoreError> {
    sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(connection).await.map_err(|error| error::plain(&error))
}

fn speaks_to_one_process(mine: &[i32], others: &[i32]) -> bool {
    mine.windows(2).all(|pair| pair[0] == pair[1]) && mine.iter().all(|pid| !others.contains(pid))
}

/// A row of `queries/peers.sql`.
pub(crate) fn peer(row: &PgRow) -> Result<Peer, StoreError> {
    let worker_no: i64 = row::get(row, 0)?;
    let number = |column, name| {
        let value: i64 = row::get(row, column)?;
        u32::try_from(value)
            .map_err(|_| row::inconsistent("worker", name, worker_no, format!("{value} does not fit 32 bits")))
    };
    Ok(Peer {
        worker_no: WorkerNo(worker_no),
        info: WorkerInfo {
            name: row::get(row, 1)?,
            host: row::get(row, 2)?,
            pid: number(3, "pid")?,
            build: row::get(row, 4)?,
            queues: row::json(row::get(row, 5)?, ("worker", "queues"), worker_no)?,
            slots: number(6, "slots")?,
        },
        state: row::named(state, row::get(row, 7)?, ("worker", "state"), worker_no)?,
        lease_until: row::at(row, 8)?,
        alive: row::get(row, 9)?,
        busy: u32::try_from(row::get::<i64>(row, 10)?).unwrap_or(u32::MAX),
    })
}

fn state(name: &str) -> Option<WorkerState> {
    match name {
        "active" => Some(WorkerState::Active),
        "draining" => Some(WorkerState::Draining),
        "suspect" => Some(WorkerState::Suspect),
        "dead" => Some(WorkerState::Dead),
        "gone" => Some(WorkerState::Gone),
        _ => None,
    }
}

fn state_name(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Active => "active",
        WorkerState::Draining => "draining",
        WorkerState::Suspect => "suspect",
        WorkerState::Dead => "dead",
        WorkerState::Gone => "gone",
    }
}

/// Makes a worker a suspect if it still looks as it was seen.
pub(crate) async fn suspect(
    connection: &mut PgConnection,
    worker: WorkerNo,
    seen: WorkerState,
    lease_until: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(sql::SUSPECT)
        .bind(worker.0)
        .bind(state_name(seen))
        .bind(lease_until.to_datetime())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Declares a worker dead if it still looks as it was seen.
pub(crate) async fn condemn(
    connection: &mut PgConnection,
    worker: WorkerNo,
    seen: WorkerState,
    lease_until: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("UPDATE worker SET state = 'dead' WHERE worker_no = $1 AND state = $2 AND lease_until = $3")
        .bind(worker.0)
        .bind(state_name(seen))
        .bind(lease_until.to_datetime())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pooler_gives_itself_away_by_its_server_processes() {
        for (mine, others, direct) in [
            (&[7, 7, 7][..], &[8, 8, 8][..], true),
            // One server process for both connections, taken in turns.
            (&[7, 7, 7], &[7, 7, 7], false),
            // One connection served by several processes.
            (&[7, 8, 7], &[9, 9, 9], false),
        ] {
            assert_eq!(speaks_to_one_process(mine, others), direct, "{mine:?} beside {others:?}");
        }
    }
}
