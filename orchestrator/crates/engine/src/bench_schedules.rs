//! `updraft bench schedules`: many schedules, some of them due in the same second. How long until all their runs are made?

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use updraft_model::schedule::Schedule;
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;
use updraft_store::scheduling::ScheduledVersion;
use updraft_store::{NewVersion, Purpose, Scheduling, Store, StoreError};

use crate::bench::BenchError;
use crate::config::Clock;
use crate::scheduler::{Scheduler, SchedulerConfig};

/// Publications in one commit.
const PUBLISHED_AT_ONCE: usize = 10_000;
/// Longest that the runs may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// What to measure.
#[derive(Clone)]
pub struct ScheduleBenchOptions {
    /// Schedules in all.
    pub schedules: usize,
    /// Of these, due in the same second.
    pub due: usize,
    /// Schedulers that share the store.
    pub schedulers: usize,
    /// Where; empty, for its content stays.
    pub store: Arc<dyn Store>,
    /// The same, by its other side: one handle for each scheduler.
    pub scheduling: Vec<Arc<dyn Scheduling>>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduleBench {
    /// `sqlite`, `postgres` or `memory`.
    pub store: String,
    /// Schedules in all.
    pub schedules: usize,
    /// Due in the same second.
    pub due: usize,
    /// Schedulers that shared the store.
    pub schedulers: usize,
    /// Seconds to publish all.
    pub publish_seconds: f64,
    /// Seconds from the due instant until all runs were made.
    pub created_seconds: f64,
    /// Runs made, by all schedulers.
    pub created: u64,
    /// Commits that took.
    pub commits: u64,
}

/// Hands that are moved by the bench.
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Acquire))
    }
}

/// Measures.
///
/// # Errors
/// The store fails, or not all runs are made in two minutes.
pub async fn run_schedules(options: ScheduleBenchOptions) -> Result<ScheduleBench, BenchError> {
    let start = Timestamp::parse("2026-01-01T00:00:00Z").unwrap_or_default();
    let due = start + Duration::from_mins(1);
    let far = start + Duration::from_hours(24 * 365);
    let handle = |at: usize| {
        let found = options.scheduling.get(at % options.scheduling.len().max(1)).cloned();
        found.ok_or_else(|| BenchError::from(StoreError::Other("no store to schedule in".to_owned())))
    };
    let first = handle(0)?;
    let begun = Instant::now();
    let mut batch = Vec::with_capacity(PUBLISHED_AT_ONCE);
    for number in 0..options.schedules {
        batch.push(version(number, if number < options.due { due } else { far })?);
        if batch.len() == PUBLISHED_AT_ONCE || number + 1 == options.schedules {
            first.publish_all(&batch, start).await?;
            batch.clear();
        }
    }
    let publish_seconds = begun.elapsed().as_secs_f64();
    let hands = Arc::new(Hands(AtomicI64::new(start.as_millis())));
    let mut schedulers = Vec::with_capacity(options.schedulers);
    for number in 0..options.schedulers.max(1) {
        let clock: Arc<dyn Clock> = hands.clone();
        let config = SchedulerConfig::new(handle(number)?, clock, options.store.kind());
        schedulers.push(Scheduler::start(config));
    }
    let created = || schedulers.iter().map(|scheduler| scheduler.health().created).sum::<u64>();
    while schedulers.iter().any(|scheduler| scheduler.health().looked_at.is_none()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let commits = options.store.counters().commits(Purpose::Engine);
    let wanted = u64::try_from(options.due).unwrap_or(u64::MAX);
    let begun = Instant::now();
    hands.0.store(due.as_millis(), Ordering::Release);
    schedulers.iter().for_each(Scheduler::notify);
    while created() < wanted {
        if begun.elapsed() > PATIENCE {
            let text = format!("{} of {wanted} runs after {PATIENCE:?}", created());
            return Err(BenchError::from(StoreError::Other(text)));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let created_seconds = begun.elapsed().as_secs_f64();
    let created = created();
    for scheduler in &schedulers {
        scheduler.shutdown().await;
    }
    Ok(ScheduleBench {
        store: options.store.kind().to_owned(),
        schedules: options.schedules,
        due: options.due,
        schedulers: schedulers.len(),
        publish_seconds,
        created_seconds,
        created,
        commits: options.store.counters().commits(Purpose::Engine) - commits,
    })
}

fn version(number: usize, fires: Timestamp) -> Result<ScheduledVersion, BenchError> {
    let workflow: Workflow = serde_json::from_value(serde_json::json!({
        "id": format!("bench_{number:06}"),
        "schedule": Schedule::Dates(vec![fires]),
        "max_active_runs": 16,
        "tasks": [{ "id": "only", "type": "bench.noop" }],
    }))
    .map_err(|error| StoreError::Other(error.to_string()))?;
    let compiled = serde_json::to_string(&workflow).map_err(|error| StoreError::Other(error.to_string()))?;
    let version = NewVersion {
        workflow: workflow.id.clone(),
        sha256: updraft_model::canonical::sha256_hex(compiled.as_bytes()),
        source: String::new(),
        path: format!("bench/{}.yaml", workflow.id),
        compiled,
    };
    Ok(ScheduledVersion { version, workflow, source: String::new() })
}
