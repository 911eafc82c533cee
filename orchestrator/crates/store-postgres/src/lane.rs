//! The lane: a transaction that waits for exactly one run, looks around afterwards in fresh statements (F6), and writes
//! what the caller decides.

use updraft_model::id::RunId;
use updraft_model::record::WorkRow;
use updraft_model::schedule::plan::Room;
use updraft_model::state::Place;
use updraft_model::time::Timestamp;
use updraft_store::{
    Committed, Counters, Lane, LaneFn, LaneOutcome, Locked, Purpose, Refusal, StoreError, Wake, check,
};

use crate::batch::Encoded;
use crate::error;
use crate::line::Lease;
use crate::load;
use crate::row;
use crate::scheduling;
use crate::sql;

/// Runs a lane on a connection that nobody else uses. On an error the connection is dropped, and with it everything.
pub(crate) async fn run(
    mut lease: Lease,
    counters: &Counters,
    run: RunId,
    lane: Lane,
    at: Timestamp,
    decide: LaneFn,
) -> Result<(LaneOutcome, Vec<Wake>), StoreError> {
    control(&mut lease, counters, "BEGIN").await?;
    let limit = match lane {
        Lane::Clear => {
            counters.round_trip(Purpose::Engine);
            let limit = sqlx::query(sql::LOCK_WORKFLOW).bind(run.0).fetch_optional(&mut lease.connection).await;
            limit.map_err(|error| error::plain(&error))?.map(|limit| row::count(&limit, 0)).transpose()?
        }
        Lane::Plain | Lane::Reap(_) | Lane::Cancel => None,
    };
    counters.round_trip(Purpose::Engine);
    let locked = sqlx::query(sql::LOCK_RUN).bind(run.0).fetch_optional(&mut lease.connection).await;
    if locked.map_err(|error| error::plain(&error))?.is_none() {
        return undo(lease, counters, LaneOutcome::Missing).await;
    }
    if lane == Lane::Clear {
        counters.round_trip(Purpose::Engine);
        let held = sqlx::query(sql::HOLD).bind(run.0).fetch_all(&mut lease.connection).await;
        held.map_err(|error| error::plain(&error))?;
    }
    counters.round_trip(Purpose::Engine);
    let loaded = load::whole(&mut lease.connection, run).await?;
    let (removed, executing) = match lane {
        Lane::Plain | Lane::Clear => (Vec::new(), executing(&loaded.work, |_| true)),
        Lane::Reap(worker) => (Vec::new(), executing(&loaded.work, |row| row.worker_no == Some(worker))),
        Lane::Cancel => cancel(&mut lease, counters, run, at).await?,
    };
    let mut hints: Vec<Wake> = match lane {
        Lane::Cancel => executing.iter().filter_map(|row| row.worker_no).map(Wake::Cancel).collect(),
        Lane::Plain | Lane::Reap(_) | Lane::Clear => Vec::new(),
    };
    let held = if lane == Lane::Clear { executing.clone() } else { Vec::new() };
    let mut room = None;
    if let Some(limit) = limit {
        counters.round_trip(Purpose::Engine);
        let load = scheduling::load_of(&mut lease.connection, loaded.row.facts.workflow_id).await?;
        room = Some(Room { load, limit });
    }
    let Some(commit) = decide(Locked { run: loaded, removed, executing, room }) else {
        return undo(lease, counters, LaneOutcome::Nothing).await;
    };
    if commit.run_id != run {
        return Err(StoreError::Other(format!("a lane for run {run} decided about run {}", commit.run_id)));
    }
    hints.extend(check::stopped_by(&commit, &held));
    let encoded = Encoded::lane(&commit, at)?;
    let answer = encoded.execute(&mut lease.connection, counters).await.map_err(|error| error::plain(&error))?;
    match answer? {
        Committed::Applied { .. } => {
            counters.round_trip(Purpose::Engine);
            let ended = sqlx::raw_sql("COMMIT").execute(&mut lease.connection).await;
            ended.map_err(|error| error::of_commit(&error))?;
            counters.committed(Purpose::Engine);
            lease.give_back();
            hints.extend(encoded.into_hints());
            Ok((LaneOutcome::Applied, hints))
        }
        Committed::Refused { runs, .. } => match runs.into_iter().next() {
            Some((_, Refusal::Fenced(keys))) => undo(lease, counters, LaneOutcome::Fenced(keys)).await,
            Some((_, Refusal::Contended | Refusal::KeyTaken)) | None => Err(StoreError::Other(format!(
                "a lane decided for a version of run {run} that is not the one it had locked"
            ))),
        },
    }
}

fn executing(work: &[WorkRow], also: impl Fn(&WorkRow) -> bool) -> Vec<WorkRow> {
    work.iter().filter(|row| row.place == Place::Executing && also(row)).cloned().collect()
}

/// First what waits is taken back, then what executes is flagged: the second statement sees the claims that the first
/// one waited for, so no task of this run starts any more (I-18).
async fn cancel(
    lease: &mut Lease,
    counters: &Counters,
    run: RunId,
    at: Timestamp,
) -> Result<(Vec<WorkRow>, Vec<WorkRow>), StoreError> {
    counters.round_trip(Purpose::Engine);
    let removed = sqlx::query(sql::WITHDRAW).bind(run.0).fetch_all(&mut lease.connection).await;
    counters.round_trip(Purpose::Engine);
    let flagged = sqlx::query(sql::FLAG).bind(run.0).bind(at.to_datetime()).fetch_all(&mut lease.connection).await;
    let rows = |found: Result<Vec<_>, sqlx::Error>| -> Result<Vec<WorkRow>, StoreError> {
        let mut rows = found
            .map_err(|error| error::plain(&error))?
            .iter()
            .map(row::work)
            .collect::<Result<Vec<_>, StoreError>>()?;
        rows.sort_by(|a, b| a.dispatch.key.cmp(&b.dispatch.key));
        Ok(rows)
    };
    Ok((rows(removed)?, rows(flagged)?))
}

async fn undo(
    mut lease: Lease,
    counters: &Counters,
    outcome: LaneOutcome,
) -> Result<(LaneOutcome, Vec<Wake>), StoreError> {
    control(&mut lease, counters, "ROLLBACK").await?;
    lease.give_back();
    Ok((outcome, Vec::new()))
}

async fn control(lease: &mut Lease, counters: &Counters, statement: &'static str) -> Result<(), StoreError> {
    counters.round_trip(Purpose::Engine);
    let done = sqlx::raw_sql(statement).execute(&mut lease.connection).await;
    done.map(|_| ()).map_err(|error| error::plain(&error))
}
