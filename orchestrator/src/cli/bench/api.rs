//! `updraft bench api`: what the daemon costs where programs and browsers meet it. From `POST …/runs` over TCP with a token to
//! the first body running, beside a bare commit; and task runs a second with and without open event streams.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use updraft_engine::Probe;
use updraft_engine::bench::{self, BenchKind, Percentiles, percentiles};
use updraft_model::id::{RunId, TaskKey};

use super::super::{Session, typed, who};
use crate::compose;
use crate::daemon::{self, Bench, Options, Roles};
use crate::exit_code::Failure;
use crate::remote::Api;

/// Event streams that are open beside a run.
const STREAMS: usize = 50;
/// Leaves of a fan-out for each run that is triggered: a second of work, so that a look at it means something.
const LEAVES: usize = 10;
/// Fan-outs of each kind, taken in turns.
const ROUNDS: usize = 5;
/// Longest that one run may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// The figures.
#[derive(Debug, Serialize)]
pub struct ApiBench {
    /// Always `api`.
    pub bench: &'static str,
    /// On which kind of store.
    pub store: &'static str,
    /// Runs that were triggered.
    pub tasks: usize,
    /// From the request to the first body.
    pub trigger_ms: Percentiles,
    /// B: one bare durable commit.
    pub commit_ms: Percentiles,
    /// Event streams that were open.
    pub streams: usize,
    /// Leaves of each fan-out.
    pub leaves: usize,
    /// Task runs a second with none: the median of the rounds.
    pub tasks_per_s: f64,
    /// The same with all streams on `GET /events`, the one that every page holds.
    pub tasks_per_s_hints: f64,
    /// The same with all streams on `GET /runs/{run}/events` of the run itself.
    pub tasks_per_s_run_events: f64,
}

/// Notes when bodies begin; holds the root of a fan-out until everybody listens.
struct Watching {
    /// The first body of the run that is looked at.
    first: watch::Sender<Option<Instant>>,
    /// Bodies that have returned.
    returned: watch::Sender<usize>,
    count: AtomicUsize,
    /// A permit for each root that may return.
    gate: Semaphore,
}

#[async_trait]
impl Probe for Watching {
    fn polled(&self, _: RunId, _: &TaskKey) {
        let now = Instant::now();
        self.first.send_if_modified(|first| first.is_none() && first.replace(now).is_none());
    }

    async fn returned(&self, _: RunId, key: &TaskKey) {
        if key.task.as_str() == bench::FANOUT_ROOT {
            // Nobody closes the gate, so an error cannot be.
            if let Ok(permit) = self.gate.acquire().await {
                permit.forget();
            }
        }
        self.returned.send_replace(self.count.fetch_add(1, Ordering::AcqRel) + 1);
    }
}

/// What streams are open beside a run.
#[derive(Clone, Copy)]
enum Beside {
    Nothing,
    Hints,
    RunEvents,
}

/// Measures.
///
/// # Errors
/// The daemon does not start, its store is not durable, a run does not end.
pub async fn run(session: &Session, tasks: usize, slots: u32, folder: &Path) -> Result<ApiBench, Failure> {
    let opened = compose::open_bench(session, folder).await?;
    let store = Arc::clone(&opened.store);
    if let Err(why) = store.durable().await? {
        store.close().await;
        return Err(Failure::input(format!(
            "commits of this store are not durable ({why}): switch that on before measuring"
        )));
    }
    let watching = Arc::new(Watching {
        first: watch::Sender::new(None),
        returned: watch::Sender::new(0),
        count: AtomicUsize::new(0),
        gate: Semaphore::new(0),
    });
    let options = Options {
        roles: Roles::all(),
        listen: vec![(std::net::Ipv4Addr::LOCALHOST, 0).into()],
        folders: Vec::new(),
        profile: None,
        slots: Some(slots),
        reason: None,
        dev: true,
        socket: folder.join("api.sock"),
        seals: true,
        bench: Some(Bench { registry: Arc::new(bench::registry()), probe: Arc::<Watching>::clone(&watching) }),
    };
    let socket = options.socket.clone();
    let daemon = daemon::start_on(session, options, &opened).await?;
    let measured = async {
        let own = Api::socket(&socket, who(session))?;
        let made: Value = own.post("/tokens", &[], &json!({ "name": "bench", "role": "operator" })).await?;
        let token: SecretString = typed::<String>(&made["token"])?.into();
        let url = daemon.url().ok_or_else(|| Failure::unreachable("the daemon listens nowhere"))?;
        let bench = Measuring { api: Api::server(&url, Some(token.clone()))?, url, token, watching, tasks };
        bench.all(&*store).await
    };
    let measured = measured.await;
    daemon.shutdown().await;
    measured
}

struct Measuring {
    api: Api,
    url: String,
    token: SecretString,
    watching: Arc<Watching>,
    tasks: usize,
}

impl Measuring {
    async fn all(&self, store: &dyn updraft_store::Store) -> Result<ApiBench, Failure> {
        for (kind, count) in [(BenchKind::Trigger, 1), (BenchKind::Fanout, self.leaves())] {
            bench::publish(store, &bench::workflow(kind, count)).await?;
        }
        let (mut triggers, mut commits) = (Vec::new(), Vec::new());
        for _ in 0..self.tasks {
            triggers.push(self.trigger().await?);
            let begun = Instant::now();
            store.bare_commit().await?;
            commits.push(begun.elapsed());
        }
        let kinds = [Beside::Nothing, Beside::Hints, Beside::RunEvents];
        let mut rates: [Vec<f64>; 3] = Default::default();
        for round in 0..ROUNDS {
            // Each kind is first in its turn: the store grows, and the machine has its moods.
            for turn in 0..kinds.len() {
                let at = (round + turn) % kinds.len();
                rates[at].push(self.fan_out(kinds[at]).await?);
            }
        }
        let [nothing, hints, run_events] = rates.map(median);
        Ok(ApiBench {
            bench: "api",
            store: store.kind(),
            tasks: self.tasks,
            trigger_ms: percentiles(&triggers),
            commit_ms: percentiles(&commits),
            streams: STREAMS,
            leaves: self.leaves(),
            tasks_per_s: nothing,
            tasks_per_s_hints: hints,
            tasks_per_s_run_events: run_events,
        })
    }

    fn leaves(&self) -> usize {
        self.tasks * LEAVES
    }

    /// From the request to the first body.
    async fn trigger(&self) -> Result<Duration, Failure> {
        self.watching.first.send_replace(None);
        let mut first = self.watching.first.subscribe();
        let asked = Instant::now();
        let run = self.create(BenchKind::Trigger).await?;
        let begun = in_time(first.wait_for(Option::is_some)).await?.unwrap_or(asked);
        self.ended(&run).await?;
        Ok(begun.duration_since(asked))
    }

    /// Task runs a second, from the root's end to the last leaf's.
    async fn fan_out(&self, beside: Beside) -> Result<f64, Failure> {
        let before = self.watching.count.load(Ordering::Acquire);
        let run = self.create(BenchKind::Fanout).await?;
        let mut streams = JoinSet::new();
        let path = match beside {
            Beside::Nothing => None,
            Beside::Hints => Some("/events".to_owned()),
            Beside::RunEvents => Some(format!("/runs/{run}/events")),
        };
        if let Some(path) = path {
            for _ in 0..STREAMS {
                self.listen(&path, &mut streams).await?;
            }
        }
        let mut returned = self.watching.returned.subscribe();
        let begun = Instant::now();
        self.watching.gate.add_permits(1);
        in_time(returned.wait_for(|count| *count > before + self.leaves())).await?;
        let took = begun.elapsed();
        self.ended(&run).await?;
        streams.shutdown().await;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        Ok((self.leaves() as f64 / took.as_secs_f64()).round())
    }

    async fn create(&self, kind: BenchKind) -> Result<String, Failure> {
        let path = format!("/workflows/bench.{}/runs", kind.name());
        let run: Value = self.api.post(&path, &[], &json!({})).await?;
        typed(&run["id"])
    }

    /// Waits until a run is over, so that the next one begins on an idle engine.
    async fn ended(&self, run: &str) -> Result<(), Failure> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let run: Value = self.api.get(&format!("/runs/{run}"), &[]).await?;
            match run["state"].as_str() {
                Some("succeeded") => return Ok(()),
                Some("queued" | "running") => tokio::time::sleep(Duration::from_millis(2)).await,
                other => {
                    return Err(Failure::unreachable(format!("a run of the benchmark is {}", other.unwrap_or("?"))));
                }
            }
        }
        Err(late())
    }

    /// Opens a stream and reads it until it is ended; returns when its first bytes have come.
    async fn listen(&self, path: &str, streams: &mut JoinSet<()>) -> Result<(), Failure> {
        let mut events = Api::server(&self.url, Some(self.token.clone()))?.events(path, &[]).await?;
        events.next().await?;
        streams.spawn(async move { while let Ok(Some(_)) = events.next().await {} });
        Ok(())
    }
}

async fn in_time<T, E>(future: impl Future<Output = Result<T, E>>) -> Result<T, Failure> {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) | Err(_) => Err(late()),
    }
}

fn late() -> Failure {
    Failure::unreachable(format!("a run of the benchmark has not ended after {} s", PATIENCE.as_secs()))
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}
