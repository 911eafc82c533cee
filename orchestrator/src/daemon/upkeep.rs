//! The daemon's own upkeep, on its own clock: retention, ended sessions, connections that others changed. No workflow
//! depends on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use updraft_api::UpkeepSource;
use updraft_api::dto::UpkeepJob;
use updraft_auth::{Authenticator, Connections};
use updraft_model::time::Timestamp;
use updraft_store::logs::Logs;

use crate::cli::now;
use crate::project::Retention;

/// Logs removed in one commit.
const PURGE_BATCH: u32 = 500;

/// What the upkeep works on.
#[derive(Clone)]
pub struct Work {
    /// Logs of attempts.
    pub logs: Arc<dyn Logs>,
    /// Sessions, links, tokens.
    pub authenticator: Arc<Authenticator>,
    /// Connections.
    pub connections: Arc<Connections>,
    /// How long things are kept.
    pub retention: Retention,
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
    last: Arc<Mutex<BTreeMap<&'static str, Last>>>,
}

/// A job: its name, how often it runs, what it does; answers in words.
type Task = (&'static str, Duration, fn(Work) -> BoxFuture<'static, Result<String, String>>);

const TASKS: [Task; 3] = [
    ("log_retention", Duration::from_hours(1), |work| Box::pin(purge_logs(work))),
    ("ended_sessions", Duration::from_mins(10), |work| Box::pin(sweep(work))),
    ("connections", Duration::from_secs(30), |work| Box::pin(refresh(work))),
];

impl Upkeep {
    /// Starts every job.
    ///
    /// # Errors
    /// The scheduler does not start.
    pub async fn start(work: Work) -> Result<Self, JobSchedulerError> {
        let scheduler = JobScheduler::new().await?;
        let last: Arc<Mutex<BTreeMap<&'static str, Last>>> = Arc::default();
        for (name, every, run) in TASKS {
            let (work, last) = (work.clone(), Arc::clone(&last));
            let job = Job::new_repeated_async(every, move |_, _| {
                let (work, last) = (work.clone(), Arc::clone(&last));
                Box::pin(async move {
                    let text = run(work).await.unwrap_or_else(|error| {
                        tracing::warn!(job = name, %error, "upkeep failed; it is tried again at its next time");
                        format!("failed: {error}")
                    });
                    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                    last.insert(name, Last { at: Some(now()), text });
                })
            })?;
            scheduler.add(job).await?;
        }
        scheduler.start().await?;
        Ok(Self { scheduler, last })
    }

    /// How it stands, for the status page.
    pub fn source(&self) -> UpkeepSource {
        let last = Arc::clone(&self.last);
        Arc::new(move || {
            let last = last.lock().unwrap_or_else(PoisonError::into_inner);
            TASKS
                .iter()
                .map(|(name, every, _)| {
                    let known = last.get(name).cloned().unwrap_or_default();
                    UpkeepJob {
                        name: (*name).to_owned(),
                        last: known.at.map(Into::into),
                        next: known.at.map(|at| (at + *every).into()),
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

async fn purge_logs(work: Work) -> Result<String, String> {
    let before = now() - work.retention.logs;
    let mut gone = 0;
    loop {
        let some = work.logs.purge_logs(before, PURGE_BATCH).await.map_err(|error| error.to_string())?;
        gone += some;
        if some < u64::from(PURGE_BATCH) {
            break;
        }
    }
    Ok(format!("{gone} logs older than {before} removed"))
}

async fn sweep(work: Work) -> Result<String, String> {
    let gone = work.authenticator.sweep().await.map_err(|error| error.to_string())?;
    Ok(format!("{gone} ended sessions, links and tokens removed"))
}

async fn refresh(work: Work) -> Result<String, String> {
    let changed = work.connections.refresh().await.map_err(|error| error.to_string())?;
    Ok(if changed { "others changed connections" } else { "nothing changed" }.to_owned())
}
