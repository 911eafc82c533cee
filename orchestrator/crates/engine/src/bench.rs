//! `updraft bench`: hop latency and throughput beside the same store's bare commit **B**, measured in one process
//! (engine.md §5). Counts are what tests assert; times are reports of this machine.
//!
//! A hop is: upstream body returned → downstream body about to be polled. In a chain, every body makes one bare commit
//! before it returns, so B and hops alternate.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Value, json};
use updraft_model::canonical::sha256_hex;
use updraft_model::graph::Compiled;
use updraft_model::id::{RunId, TaskKey};
use updraft_model::state::RunState;
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;
use updraft_store::{NewVersion, Published, Purpose, Reader, Store, StoreError};
use updraft_task::{Context, Effects, ErrorClass, Registry, Task, TaskError};

use crate::config::{EngineConfig, NewRun, NoConnections, Probe};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::run_handle::{RunEnd, RunHandle};
use crate::shared::locked;

/// Bare commits measured before and after what cannot be interleaved.
const BASELINE_SAMPLES: usize = 200;

/// Below this, B is not a flush to a disk.
const LEAST_PLAUSIBLE_COMMIT_MS: f64 = 0.05;

/// Runs created at a time.
const RUNS_AT_ONCE: usize = 128;

/// The task of a fan-out that all others follow.
pub const FANOUT_ROOT: &str = "root";

/// The queue of the benchmark's runs.
const QUEUE: &str = "bench";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BenchKind {
    /// N tasks one after the other: hop latency.
    Chain,
    /// N tasks after one: throughput inside a run.
    Fanout,
    /// N runs of one task: throughput over runs.
    Runs,
    /// N runs of one task, one after the other: from request to first body.
    Trigger,
}

impl BenchKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Chain, Self::Fanout, Self::Runs, Self::Trigger];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chain => "chain",
            Self::Fanout => "fanout",
            Self::Runs => "runs",
            Self::Trigger => "trigger",
        }
    }
}

/// What to measure, and where.
#[derive(Clone)]
pub struct BenchOptions {
    /// What.
    pub kind: BenchKind,
    /// N.
    pub tasks: usize,
    /// Attempts at one time.
    pub slots: u32,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its reader.
    pub reader: Arc<dyn Reader>,
    /// A folder for what the engine may write beside the store.
    pub folder: PathBuf,
}

/// A median and a tail.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of the samples are not above it.
    pub p50: f64,
    /// 99 of 100 samples are not above it.
    pub p99: f64,
}

/// The figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchReport {
    /// What was measured.
    pub bench: BenchKind,
    /// On which kind of store.
    pub store: &'static str,
    /// N.
    pub tasks: usize,
    /// Latency of a hop, or from trigger to first body.
    pub hop_ms: Option<Percentiles>,
    /// B: one bare durable commit.
    pub commit_ms: Percentiles,
    /// Task runs a second, without the time of the bare commits.
    pub tasks_per_s: Option<f64>,
    /// Engine commits.
    pub commits: u64,
    /// Engine round trips.
    pub round_trips: u64,
}

/// Figures with what must be said beside them.
#[derive(Debug, Clone, PartialEq)]
pub struct Bench {
    /// The figures.
    pub report: BenchReport,
    /// Why they may mislead.
    pub warnings: Vec<String>,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The engine or the store failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Commits of this store are not durable, so figures would say nothing.
    #[error("commits of this store are not durable ({0}): switch that on before measuring")]
    NotDurable(String),
    /// A run did not end well.
    #[error("a run of the benchmark ended as {0:?}")]
    Run(RunEnd),
    /// Nothing to measure.
    #[error("at least 2 tasks are needed")]
    TooFew,
}

impl From<StoreError> for BenchError {
    fn from(error: StoreError) -> Self {
        Self::Engine(EngineError::Store(error))
    }
}

/// Does nothing.
struct Noop;

/// No parameters.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoParams {}

impl Task for Noop {
    const TYPE: &'static str = "bench.noop";
    const SUMMARY: &'static str = "Does nothing";
    const EFFECTS: Effects = Effects::Idempotent;
    const ERRORS: &'static [ErrorClass] = &[];
    const EXAMPLE: &'static str = "{ id: a, type: bench.noop }";
    type Params = NoParams;
    type Output = ();

    async fn run(_: NoParams, _: &Context) -> Result<(), TaskError> {
        Ok(())
    }
}

#[derive(Default)]
struct Times {
    polled: HashMap<TaskKey, Instant>,
    returned: HashMap<TaskKey, Instant>,
    first_polled: Option<Instant>,
    commits: Vec<Duration>,
}

/// Notes when bodies begin and end, and makes a bare commit at the end of each if B is interleaved.
struct Watch {
    kind: BenchKind,
    store: Arc<dyn Store>,
    times: Mutex<Times>,
}

#[async_trait]
impl Probe for Watch {
    fn polled(&self, _: RunId, key: &TaskKey) {
        let now = Instant::now();
        match self.kind {
            BenchKind::Chain => {
                locked(&self.times).polled.insert(key.clone(), now);
            }
            BenchKind::Trigger => {
                locked(&self.times).first_polled.get_or_insert(now);
            }
            BenchKind::Fanout | BenchKind::Runs => {}
        }
    }

    async fn returned(&self, _: RunId, key: &TaskKey) {
        match self.kind {
            BenchKind::Chain => {
                let begun = Instant::now();
                // A failure shows in the next engine commit too.
                let _ = self.store.bare_commit().await;
                let now = Instant::now();
                let mut times = locked(&self.times);
                times.commits.push(now - begun);
                times.returned.insert(key.clone(), now);
            }
            BenchKind::Fanout if key.task.as_str() == FANOUT_ROOT => {
                locked(&self.times).returned.insert(key.clone(), Instant::now());
            }
            BenchKind::Fanout | BenchKind::Runs | BenchKind::Trigger => {}
        }
    }
}

/// One measurement.
struct Measured {
    hops: Vec<Duration>,
    commits: Vec<Duration>,
    /// Time for all tasks, bare commits left out; `None` where a rate says nothing.
    took: Option<Duration>,
    counted: (u64, u64),
}

/// Measures.
///
/// # Errors
/// See [`BenchError`].
pub async fn run(options: BenchOptions) -> Result<Bench, BenchError> {
    if options.tasks < 2 {
        return Err(BenchError::TooFew);
    }
    let mut warnings = Vec::new();
    if let Err(why) = options.store.durable().await? {
        if options.store.kind() != "memory" {
            return Err(BenchError::NotDurable(why));
        }
        warnings.push("a store in memory flushes nothing: its figures are the engine's own cost".to_owned());
    }
    let watch =
        Arc::new(Watch { kind: options.kind, store: Arc::clone(&options.store), times: Mutex::new(Times::default()) });
    let engine = Engine::start(config(&options, Arc::clone(&watch))).await?;
    let measured = measure(&options, &engine, &watch).await;
    engine.shutdown().await;
    let measured = measured?;
    let commit_ms = percentiles(&measured.commits);
    if commit_ms.p50 < LEAST_PLAUSIBLE_COMMIT_MS && warnings.is_empty() {
        warnings.push(format!(
            "a bare commit takes {:.3} ms: that is no flush to a disk, so hops cannot be judged beside it",
            commit_ms.p50
        ));
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let tasks_per_s = measured.took.map(|took| round(options.tasks as f64 / took.as_secs_f64()));
    let report = BenchReport {
        bench: options.kind,
        store: options.store.kind(),
        tasks: options.tasks,
        hop_ms: (!measured.hops.is_empty()).then(|| percentiles(&measured.hops)),
        commit_ms,
        tasks_per_s,
        commits: measured.counted.0,
        round_trips: measured.counted.1,
    };
    Ok(Bench { report, warnings })
}

/// The task type of the benchmark's workflows.
pub fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.add::<Noop>();
    registry
}

fn config(options: &BenchOptions, watch: Arc<Watch>) -> EngineConfig {
    let mut config = EngineConfig::new(
        Arc::clone(&options.store),
        Arc::clone(&options.reader),
        Arc::new(registry()),
        Arc::new(NoConnections),
        &options.folder,
    );
    config.queues = vec![QUEUE.to_owned()];
    config.slots = options.slots;
    // Nobody else serves this queue: more dispatched rows than slots would only wait in the store.
    config.dispatch_window = options.slots;
    config.probe = Some(watch);
    config
}

async fn measure(options: &BenchOptions, engine: &Engine, watch: &Watch) -> Result<Measured, BenchError> {
    let store = &*options.store;
    let workflow = workflow(options.kind, options.tasks);
    let version = publish(store, &workflow).await?;
    let compiled = Arc::new(Compiled::new(workflow).map_err(EngineError::from)?);
    let new =
        || NewRun { queue: Some(QUEUE.to_owned()), ..NewRun::manual(version, Arc::clone(&compiled), now(), "bench") };
    let mut commits = Vec::new();
    match options.kind {
        BenchKind::Chain => {}
        BenchKind::Fanout | BenchKind::Runs | BenchKind::Trigger => baseline(store, &mut commits).await?,
    }
    let before = counts(store);
    let begun = Instant::now();
    let mut hops = Vec::new();
    let took = match options.kind {
        BenchKind::Chain => {
            finish(engine.create_run(new()).await?).await?;
            let took = begun.elapsed();
            let times = locked(&watch.times);
            hops = chain_hops(&times, options.tasks);
            commits.clone_from(&times.commits);
            Some(took.saturating_sub(commits.iter().sum()))
        }
        BenchKind::Fanout => {
            finish(engine.create_run(new()).await?).await?;
            let from = locked(&watch.times).returned.values().next().copied().unwrap_or(begun);
            Some(from.elapsed())
        }
        BenchKind::Runs => {
            let mut left = options.tasks;
            let mut open: Vec<RunHandle> = Vec::with_capacity(options.tasks);
            while left > 0 {
                let now = left.min(RUNS_AT_ONCE);
                left -= now;
                for created in futures::future::join_all((0..now).map(|_| engine.create_run(new()))).await {
                    open.push(created?);
                }
            }
            for run in open {
                finish(run).await?;
            }
            Some(begun.elapsed())
        }
        BenchKind::Trigger => {
            for _ in 0..options.tasks {
                let asked = Instant::now();
                locked(&watch.times).first_polled = None;
                finish(engine.create_run(new()).await?).await?;
                if let Some(polled) = locked(&watch.times).first_polled {
                    hops.push(polled.duration_since(asked));
                }
                let from = Instant::now();
                store.bare_commit().await?;
                commits.push(from.elapsed());
            }
            None
        }
    };
    let after = counts(store);
    match options.kind {
        BenchKind::Chain | BenchKind::Trigger => {}
        BenchKind::Fanout | BenchKind::Runs => baseline(store, &mut commits).await?,
    }
    Ok(Measured { hops, commits, took, counted: (after.0 - before.0, after.1 - before.1) })
}

async fn finish(mut run: RunHandle) -> Result<(), BenchError> {
    match run.wait().await {
        RunEnd::Finished(projection) if projection.state == RunState::Succeeded => Ok(()),
        end @ (RunEnd::Finished(_) | RunEnd::Broken { .. } | RunEnd::Interrupted) => Err(BenchError::Run(end)),
    }
}

fn chain_hops(times: &Times, tasks: usize) -> Vec<Duration> {
    (1..tasks)
        .filter_map(|task| {
            let upstream = times.returned.get(&TaskKey::of(format!("t{}", task - 1)))?;
            let downstream = times.polled.get(&TaskKey::of(format!("t{task}")))?;
            Some(downstream.duration_since(*upstream))
        })
        .collect()
}

async fn baseline(store: &dyn Store, commits: &mut Vec<Duration>) -> Result<(), StoreError> {
    for _ in 0..BASELINE_SAMPLES {
        let begun = Instant::now();
        store.bare_commit().await?;
        commits.push(begun.elapsed());
    }
    Ok(())
}

fn counts(store: &dyn Store) -> (u64, u64) {
    (store.counters().commits(Purpose::Engine), store.counters().round_trips(Purpose::Engine))
}

fn now() -> Timestamp {
    Timestamp::from_datetime(chrono::Utc::now())
}

/// The workflow that is measured: `bench.NAME`, with one task, or `tasks` of them behind or beside each other.
///
/// # Panics
/// Never: its keys are right here.
pub fn workflow(kind: BenchKind, count: usize) -> Workflow {
    let task = |id: String, upstream: Option<String>| json!({ "id": id, "type": Noop::TYPE, "depends_on": upstream.into_iter().collect::<Vec<_>>() });
    let tasks: Vec<Value> = match kind {
        BenchKind::Chain => {
            (0..count).map(|n| task(format!("t{n}"), n.checked_sub(1).map(|before| format!("t{before}")))).collect()
        }
        BenchKind::Fanout => std::iter::once(task(FANOUT_ROOT.to_owned(), None))
            .chain((0..count).map(|n| task(format!("t{n}"), Some(FANOUT_ROOT.to_owned()))))
            .collect(),
        BenchKind::Runs | BenchKind::Trigger => vec![task("t0".to_owned(), None)],
    };
    let keys = json!({ "id": format!("bench.{}", kind.name()), "max_active_runs": 1, "tasks": tasks });
    serde_json::from_value(keys).expect("the keys of a workflow are right here")
}

/// Publishes one of the benchmark's workflows.
///
/// # Errors
/// The store's.
pub async fn publish(store: &dyn Store, workflow: &Workflow) -> Result<Published, StoreError> {
    let compiled = serde_json::to_string(workflow).map_err(|error| StoreError::Other(error.to_string()))?;
    let version = NewVersion {
        workflow: workflow.id.clone(),
        sha256: sha256_hex(compiled.as_bytes()),
        source: "# made by `updraft bench`\n".to_owned(),
        path: "bench".to_owned(),
        compiled,
    };
    store.publish(&version, now()).await
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Median and tail of some times, in milliseconds.
pub fn percentiles(samples: &[Duration]) -> Percentiles {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| {
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map_or(0.0, |sample| round(sample.as_secs_f64() * 1000.0))
    };
    Percentiles { p50: at(50), p99: at(99) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Percentiles, percentiles};

    #[test]
    fn percentiles_are_samples_by_rank() {
        let samples: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(percentiles(&samples), Percentiles { p50: 100.0, p99: 198.0 });
        assert_eq!(percentiles(&samples[..1]), Percentiles { p50: 200.0, p99: 200.0 });
    }
}
