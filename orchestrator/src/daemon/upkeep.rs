//! The daemon's own upkeep, on its own clock: retention, logs in few pieces, statistics, ended sessions, connections that
//! others changed. No workflow depends on it. Of several daemons on one store, one does a job at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use updraft_api::UpkeepSource;
use updraft_api::dto::UpkeepJob;
use updraft_auth::{Audit, Authenticator, Connections};
use updraft_model::id::RunId;
use updraft_model::time::Timestamp;
use updraft_store::Idempotency;
use updraft_store::logs::{Logs, first_run_at};
use updraft_store::upkeep::{Upkeep as Store, compact_log};

use crate::cli::now;
use crate::project::Retention;

/// Logs removed, or looked for, in one statement.
const LOG_BATCH: u32 = 500;
/// Runs removed in one commit: some of them may have thousands of task runs.
const RUN_BATCH: u32 = 50;
/// Others get at the store between two batches.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a request may be made again under its key.
const KEYS_KEPT: Duration = Duration::from_hours(7 * 24);
/// A log is put together when nothing was added to it for so long.
const LOG_AT_REST: Duration = Duration::from_hours(6);
/// Runs that began earlier were looked at before, unless this process has just started.
const LOGS_LOOKED_AT: Duration = Duration::from_hours(48);
/// The first time after a start: a daemon may not live until a job's interval has passed.
const FIRST: Duration = Duration::from_mins(1);

/// What the upkeep works on.
#[derive(Clone)]
pub struct Work {
    /// Runs, statistics, who does what.
    pub store: Arc<dyn Store>,
    /// Logs of attempts.
    pub logs: Arc<dyn Logs>,
    /// Keys under which requests may be made again.
    pub idempotency: Arc<dyn Idempotency>,
    /// Sessions, links, tokens.
    pub authenticator: Arc<Authenticator>,
    /// Where removals are written down.
    pub audit: Audit,
    /// Connections.
    pub connections: Arc<Connections>,
    /// How long things are kept.
    pub retention: Retention,
    /// Whether this process has put old logs together since it started.
    pub compacted: Arc<std::sync::atomic::AtomicBool>,
}

/// How a job went last.
#[derive(Clone, Default)]
struct Last {
    at: Option<Timestamp>,
    text: String,
}

/// The running upkeep.
pub struct Upkeep {
    scheduler: JobScheduler,
    started: Timestamp,
    last: Arc<Mutex<BTreeMap<&'static str, Last>>>,
}

/// Who does a job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// One process of a store at a time.
    One,
    /// Each process for itself.
    Each,
}

/// A job: its name, how often it runs, who does it, what it does; answers in words.
type Task = (&'static str, Duration, By, fn(Work) -> BoxFuture<'static, Result<String, String>>);

const TASKS: [Task; 7] = [
    ("run_retention", Duration::from_hours(1), By::One, |work| Box::pin(purge_runs(work))),
    ("log_retention", Duration::from_hours(1), By::One, |work| Box::pin(purge_logs(work))),
    ("log_compaction", Duration::from_hours(1), By::One, |work| Box::pin(compact_logs(work))),
    ("idempotency_keys", Duration::from_hours(1), By::One, |work| Box::pin(forget_keys(work))),
    ("statistics", Duration::from_hours(6), By::One, |work| Box::pin(refresh_statistics(work))),
    ("ended_sessions", Duration::from_mins(10), By::One, |work| Box::pin(sweep(work))),
    ("connections", Duration::from_secs(30), By::Each, |work| Box::pin(refresh(work))),
];

impl Upkeep {
    /// Starts every job.
    ///
    /// # Errors
    /// The scheduler does not start.
    pub async fn start(work: Work) -> Result<Self, JobSchedulerError> {
        let scheduler = JobScheduler::new().await?;
        let last: Arc<Mutex<BTreeMap<&'static str, Last>>> = Arc::default();
        for task in TASKS {
            let every = task.1;
            let (work, last) = (work.clone(), Arc::clone(&last));
            let job = move |_, _: JobScheduler| -> BoxFuture<'static, ()> {
                Box::pin(carry_out(task, work.clone(), Arc::clone(&last)))
            };
            if every > FIRST {
                scheduler.add(Job::new_one_shot_async(FIRST, job.clone())?).await?;
            }
            scheduler.add(Job::new_repeated_async(every, job)?).await?;
        }
        scheduler.start().await?;
        Ok(Self { scheduler, started: now(), last })
    }

    /// How it stands, for the status page.
    pub fn source(&self) -> UpkeepSource {
        let (last, started) = (Arc::clone(&self.last), self.started);
        Arc::new(move || {
            let last = last.lock().unwrap_or_else(PoisonError::into_inner);
            TASKS
                .iter()
                .map(|(name, every, ..)| {
                    let known = last.get(name).cloned().unwrap_or_default();
                    // Every so often since the start, and once soon after it.
                    let first = started + FIRST.min(*every);
                    let rounds = now().since(started).as_millis() / every.as_millis().max(1) + 1;
                    let regular = started + *every * u32::try_from(rounds).unwrap_or(u32::MAX);
                    UpkeepJob {
                        name: (*name).to_owned(),
                        last: known.at.map(Into::into),
                        next: Some(if now() < first { first } else { regular }.into()),
                        text: known.text,
                    }
                })
                .collect()
        })
    }

    /// Ends it.
    pub async fn shutdown(mut self) {
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::warn!(%error, "the upkeep did not end in good order");
        }
    }
}

async fn carry_out(task: Task, work: Work, last: Arc<Mutex<BTreeMap<&'static str, Last>>>) {
    let name = task.0;
    let text = match in_turn(task, work).await {
        Ok(Some(text)) => text,
        Ok(None) => "another process is at it".to_owned(),
        Err(error) => {
            tracing::warn!(job = name, %error, "upkeep failed; it is tried again at its next time");
            format!("failed: {error}")
        }
    };
    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
    last.insert(name, Last { at: Some(now()), text });
}

/// `None`: another process is at it.
async fn in_turn((name, _, by, run): Task, work: Work) -> Result<Option<String>, String> {
    let turn = match by {
        By::One => match work.store.turn(name).await.map_err(said)? {
            Some(turn) => Some(turn),
            None => return Ok(None),
        },
        By::Each => None,
    };
    let text = run(work).await?;
    drop(turn);
    Ok(Some(text))
}

fn said(error: updraft_store::StoreError) -> String {
    error.to_string()
}

/// Writes down that something was removed for good.
async fn record(work: &Work, job: &str, detail: Value) -> Result<(), String> {
    work.audit
        .record_unknown("system", "upkeep", &format!("upkeep.{job}"), "store", detail)
        .await
        .map(drop)
        .map_err(said)
}

/// Removes so many at a time until fewer are left; says how many went.
async fn in_batches<F>(most: u32, remove: impl Fn(u32) -> F) -> Result<u64, String>
where
    F: Future<Output = Result<u64, updraft_store::StoreError>>,
{
    let mut gone = 0;
    loop {
        let some = remove(most).await.map_err(said)?;
        gone += some;
        if some < u64::from(most) {
            return Ok(gone);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn purge_runs(work: Work) -> Result<String, String> {
    let Some(kept) = work.retention.runs else { return Ok("runs are kept for ever".to_owned()) };
    let before = now() - kept;
    let gone = in_batches(RUN_BATCH, |most| work.store.purge_runs(before, most)).await?;
    if gone > 0 {
        record(&work, "run_retention", json!({ "runs": gone, "ended_before": before.to_string() })).await?;
    }
    Ok(format!("{gone} runs that ended before {before} removed"))
}

async fn purge_logs(work: Work) -> Result<String, String> {
    let before = now() - work.retention.logs;
    let gone = in_batches(LOG_BATCH, |most| work.logs.purge_logs(before, most)).await?;
    if gone > 0 {
        record(&work, "log_retention", json!({ "logs": gone, "older_than": before.to_string() })).await?;
    }
    Ok(format!("{gone} logs older than {before} removed"))
}

async fn compact_logs(work: Work) -> Result<String, String> {
    use std::sync::atomic::Ordering;
    let before = now() - LOG_AT_REST;
    let all = !work.compacted.load(Ordering::Relaxed);
    let mut from = if all { RunId(uuid::Uuid::nil()) } else { first_run_at(now() - LOGS_LOOKED_AT) };
    let (mut logs, mut fewer) = (0_u64, 0_u64);
    loop {
        let found = work.store.scattered_logs(from, before, LOG_BATCH).await.map_err(said)?;
        let mut saved = 0;
        for log in &found {
            saved += compact_log(&*work.store, &*work.logs, log).await.map_err(said)?;
        }
        logs += found.len() as u64;
        fewer += saved;
        match found.last() {
            // Where nothing can be saved, the next runs have their turn all the same.
            Some(last) if found.len() == LOG_BATCH as usize && (saved > 0 || last.run_id > from) => from = last.run_id,
            Some(_) | None => break,
        }
        tokio::time::sleep(PAUSE).await;
    }
    work.compacted.store(true, Ordering::Relaxed);
    Ok(format!("{logs} logs put together, {fewer} pieces fewer"))
}

async fn forget_keys(work: Work) -> Result<String, String> {
    let before = now() - KEYS_KEPT;
    let gone = work.idempotency.forget_keys(before).await.map_err(said)?;
    Ok(format!("{gone} keys from before {before} forgotten"))
}

async fn refresh_statistics(work: Work) -> Result<String, String> {
    work.store.refresh_statistics().await.map_err(said)?;
    Ok("the planner's statistics are fresh".to_owned())
}

async fn sweep(work: Work) -> Result<String, String> {
    let gone = work.authenticator.sweep().await.map_err(|error| error.to_string())?;
    Ok(format!("{gone} ended sessions, links and tokens removed"))
}

async fn refresh(work: Work) -> Result<String, String> {
    let changed = work.connections.refresh().await.map_err(|error| error.to_string())?;
    Ok(if changed { "others changed connections" } else { "nothing changed" }.to_owned())
}
