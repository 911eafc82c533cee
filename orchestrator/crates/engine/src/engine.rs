//! The engine as its owner holds it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use updraft_model::canonical::canonical_json;
use updraft_model::id::{RunId, TaskKey, WorkerNo};
use updraft_model::record::{RunFacts, TaskItem};
use updraft_model::run::Limits;
use updraft_model::state::RunState;
use updraft_store::{Counters, Loaded, LoadedRun, Peer, StoreError, WorkerInfo, WorkerState};
use uuid::Uuid;

use crate::child::{self, Spawner};
use crate::committer::{Command, Committer, Create, Job, Reply, Takeover, read_version};
use crate::config::{EngineConfig, NewRun};
use crate::error::EngineError;
use crate::event::EngineEvent;
use crate::liveness::{heartbeat, hints, reaper};
use crate::logs::ship;
use crate::owned::Stop;
use crate::plan::Plan;
use crate::run_handle::{RunEnd, RunHandle};
use crate::scheduler::{self, Claimer, SchedulerConfig, Triggered};
use crate::shared::{Phase, Shared, locked};
use crate::timers;

/// How long killed attempts may take to be written down as lost.
const ABORT_LIMIT: Duration = Duration::from_secs(10);

/// A running engine: a worker with its slots, and the services around it. See [`Engine::start`].
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    pulse: heartbeat::Pulse,
    services: Mutex<Vec<JoinHandle<()>>>,
}

impl Engine {
    /// Registers a worker and starts serving.
    ///
    /// # Errors
    /// The store cannot be reached, or the spawner thread cannot be started.
    pub async fn start(config: EngineConfig) -> Result<Self, EngineError> {
        let (pulse, worker_no) = heartbeat::Pulse::start(Arc::clone(&config.store), config.worker_info()).await?;
        let spawner = Spawner::start()
            .map_err(|source| EngineError::Io { what: "starting the spawner thread".to_owned(), source })?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(config, worker_no, commands, spawner));
        let (verdicts, judged) = mpsc::unbounded_channel();
        let (pings, asked) = mpsc::unbounded_channel();
        let mut services = vec![
            tokio::spawn(Committer::new(Arc::clone(&shared), inbox).run()),
            tokio::spawn(heartbeat::answer(asked)),
            tokio::spawn(hints::listen(Arc::clone(&shared))),
            tokio::spawn(timers::run(Arc::clone(&shared))),
            tokio::spawn(reaper::run(Arc::clone(&shared), judged)),
        ];
        if let Some(logs) = &shared.config.logs {
            services.push(tokio::spawn(ship::run(Arc::clone(&shared), Arc::clone(logs))));
        }
        if let Some(watch) = shared.config.watch {
            services.push(tokio::spawn(timers::watch_all_runs(Arc::clone(&shared), watch.limits)));
            // Timers that ran out while nobody was there.
            shared.timer_at(shared.now());
        }
        pulse.serve(Arc::clone(&shared), verdicts, pings);
        Ok(Self { shared, pulse, services: Mutex::new(services) })
    }

    /// This engine's number in the store.
    pub fn worker_no(&self) -> WorkerNo {
        self.shared.worker_no()
    }

    /// Live progress from now on. A slow reader loses the oldest; the store is the truth.
    pub fn subscribe(&self) -> broadcast::Receiver<EngineEvent> {
        self.shared.events.subscribe()
    }

    /// Parts of the work of an attempt that runs here, as they are now, in the order of their beginning. Empty for one that runs
    /// on another worker, has ended, or shows none.
    pub fn live_items(&self, run_id: RunId, key: &TaskKey, dispatch_no: u32) -> Vec<TaskItem> {
        self.shared.live.of(run_id, key, dispatch_no)
    }

    /// Commits and round trips so far.
    pub fn counters(&self) -> &Counters {
        self.shared.config.store.counters()
    }

    /// Makes a run and starts it: one commit, which also claims its first tasks.
    ///
    /// # Errors
    /// The store fails, the run key is taken, a chosen task does not exist, or the engine is stopping.
    pub async fn create_run(&self, new: NewRun) -> Result<RunHandle, EngineError> {
        if self.shared.phase() > Phase::Serving {
            return Err(EngineError::Stopping);
        }
        let run_id = new.run_id.unwrap_or_else(|| RunId(Uuid::now_v7()));
        let conf = canonical_json(&serde_json::Value::Object(new.params)).map_err(|error| {
            EngineError::Store(StoreError::Rejected(format!("the params cannot be stored: {error}")))
        })?;
        let queue = new.queue.unwrap_or_else(|| crate::operations::private_queue(run_id));
        let facts = RunFacts {
            run_id,
            workflow_id: new.version.workflow_id,
            version_id: new.version.version_id,
            run_key: new.run_key.unwrap_or_else(|| run_id.to_string()),
            trigger: new.trigger,
            logical_at: new.logical_at,
            interval: new.interval,
            conf,
            queue: queue.clone(),
            priority: new.priority,
            created_at: self.shared.now(),
        };
        let handle = self.handle(run_id, &queue);
        let plan = Arc::new(Plan::new(new.workflow));
        let (by, only) = (new.by, new.only);
        let created =
            self.ask(|reply| Command::Create(Box::new(Create { facts, plan, by, only, reply: Some(reply) }))).await;
        if let Err(error) = created {
            self.forget(run_id, &queue);
            return Err(error);
        }
        Ok(handle)
    }

    /// Makes a run that any worker may carry out, under the limit of its workflow: it starts at once if there is room (one
    /// commit, which also claims its first tasks for free slots here), else it waits for its turn.
    ///
    /// # Errors
    /// The store fails, the run key is taken, a chosen task does not exist, or the engine is stopping.
    pub async fn trigger(&self, new: NewRun) -> Result<Triggered, EngineError> {
        let shared = &self.shared;
        if shared.phase() > Phase::Serving {
            return Err(EngineError::Stopping);
        }
        let scheduling = shared.config.scheduling.clone().ok_or_else(|| {
            EngineError::Store(StoreError::Other("this engine was started without `scheduling`".to_owned()))
        })?;
        let (owned, compiled) = (Arc::clone(shared), Arc::clone(&new.workflow));
        let queue = new.queue.as_deref().unwrap_or(SchedulerConfig::QUEUE);
        let serves = shared.config.queues.iter().any(|served| served == queue);
        let free = (shared.config.slots as usize).saturating_sub(locked(&shared.owned).len());
        let claimer = (serves && free > 0 && shared.is_trusted()).then(|| Claimer {
            worker_no: shared.worker_no(),
            free,
            own: Box::new(move |row| {
                let Some(attempt_id) = row.attempt_id else { return };
                locked(&owned.owned).insert(attempt_id, crate::attempt::owned_in(&owned, &compiled, row));
            }),
        });
        let limits = Limits { window: shared.config.dispatch_window, ..Limits::default() };
        let run_id = new.run_id.unwrap_or_else(|| RunId(Uuid::now_v7()));
        let new = NewRun { run_id: Some(run_id), ..new };
        let actor = format!("worker:{}", shared.worker_no());
        let made = scheduler::make(&*scheduling, new, limits, actor, claimer, shared.now()).await;
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                // What may have been written is handed back by the heartbeat; in memory nothing of it is ours.
                let claimed: Vec<_> = locked(&shared.owned)
                    .iter()
                    .filter(|(_, attempt)| attempt.run_id == run_id)
                    .map(|(attempt_id, _)| *attempt_id)
                    .collect();
                claimed.into_iter().for_each(|attempt_id| shared.disown(attempt_id));
                return Err(error);
            }
        };
        let triggered = Triggered { run_id, started: made.run.projection().started_at.is_some() };
        if triggered.started {
            shared.command(Command::Adopt(Box::new(made)));
        } else if let Some(scheduler) = &shared.config.scheduler {
            scheduler.run_ended(made.run.facts().workflow_id);
        }
        Ok(triggered)
    }

    /// Goes on with a run whose worker is gone: what that worker left executing is `lost` and repeated, results that
    /// wait on disk are taken, accepted results stay.
    ///
    /// # Errors
    /// No such run, it is over or broken, a live worker holds it, or the store fails.
    pub async fn resume(&self, run_id: RunId) -> Result<RunHandle, EngineError> {
        if self.shared.phase() > Phase::Serving {
            return Err(EngineError::Stopping);
        }
        let config = &self.shared.config;
        let loaded = match config.store.load(&[(run_id, None)]).await?.pop() {
            Some(Loaded::Full(loaded)) => *loaded,
            Some(Loaded::Missing(_) | Loaded::Unchanged(_) | Loaded::Tail(..)) | None => {
                return Err(EngineError::NoRun(run_id));
            }
        };
        match loaded.row.projection.state {
            RunState::Queued | RunState::Running | RunState::Cancelling => {}
            state @ (RunState::Succeeded | RunState::Failed | RunState::Cancelled) => {
                return Err(EngineError::RunOver { run_id, state });
            }
            RunState::Broken => {
                return Err(EngineError::Broken { run_id, detail: self.why_broken(run_id).await? });
            }
        }
        let compiled = read_version(&*config.reader, run_id, loaded.row.facts.version_id).await?;
        let dead = self.dead_holders(run_id, &loaded).await?;
        let queue = loaded.row.facts.queue.clone();
        let handle = self.handle(run_id, &queue);
        let plan = Arc::new(Plan::new(Arc::clone(&compiled)));
        self.shared.command(Command::Open(run_id, loaded.row.facts.version_id, plan, queue.clone()));
        if let Err(error) = self.reap(run_id, dead).await {
            self.forget(run_id, &queue);
            return Err(error);
        }
        if let Some(timeout) = compiled.workflow.timeout {
            let from = loaded.row.projection.started_at.unwrap_or(loaded.row.facts.created_at);
            timers::watch_run(&self.shared, run_id, from + timeout);
        }
        match self.ask(|reply| Command::Lane(run_id, Job::Refresh, Some(reply))).await {
            // Nothing to judge anew, or the reaping itself ended the run.
            Ok(()) | Err(EngineError::Rejected { .. }) => {}
            Err(error) => {
                self.forget(run_id, &queue);
                return Err(error);
            }
        }
        self.clear_spool(run_id);
        self.shared.timer_at(self.shared.now());
        self.shared.command(Command::Look(Some(queue)));
        Ok(handle)
    }

    /// Results on disk that nothing waits for any more: the store has them, or has gone on without them.
    fn clear_spool(&self, run_id: RunId) {
        let left = self.shared.spool.of_run(run_id).unwrap_or_else(|error| {
            self.shared.warn(Some(run_id), format!("spooled results cannot be read: {error}"));
            Vec::new()
        });
        for result in left {
            self.shared.warn(
                Some(run_id),
                format!(
                    "the result of attempt {} of `{}` on disk is not needed any more",
                    result.dispatch_no, result.key
                ),
            );
            if let Err(error) = self.shared.spool.remove(run_id, result.attempt_id) {
                self.shared.warn(Some(run_id), format!("it cannot be removed: {error}"));
            }
        }
    }

    async fn why_broken(&self, run_id: RunId) -> Result<String, EngineError> {
        let history = self.shared.config.reader.history(run_id, 0).await?;
        let found = history.iter().rev().flat_map(|entry| entry.events.iter().rev()).find_map(|event| match event {
            updraft_model::event::Event::RunBroken { code, detail } => Some(format!("{code}: {detail}")),
            _ => None,
        });
        Ok(found.unwrap_or_else(|| "the reason is not in its history".to_owned()))
    }

    /// Workers that executed tasks of the run and are dead; declares them dead where nobody has yet.
    async fn dead_holders(&self, run_id: RunId, loaded: &LoadedRun) -> Result<BTreeSet<WorkerNo>, EngineError> {
        let own = self.shared.worker_no();
        let held: BTreeSet<WorkerNo> =
            loaded.work.iter().filter_map(|row| row.worker_no).filter(|worker_no| *worker_no != own).collect();
        if held.is_empty() {
            return Ok(held);
        }
        let store = &self.shared.config.store;
        let peers = store.peers().await?;
        for worker_no in &held {
            // A worker without a row has said good-bye or was removed: nobody runs its attempts.
            let Some(peer) = peers.iter().find(|peer| peer.worker_no == *worker_no) else { continue };
            if self.is_alive(peer) {
                return Err(EngineError::Held { run_id, worker_no: *worker_no, name: peer.info.name.clone() });
            }
            let serving = match peer.state {
                WorkerState::Active | WorkerState::Draining | WorkerState::Suspect => true,
                WorkerState::Dead | WorkerState::Gone => false,
            };
            if serving && !store.condemn(peer).await? {
                return Err(EngineError::Held { run_id, worker_no: *worker_no, name: peer.info.name.clone() });
            }
        }
        // Children of a killed worker that outlived it must not work on beside the repeated attempts.
        let attempts: Vec<_> = loaded.work.iter().filter_map(|row| row.attempt_id).collect();
        let swept = tokio::task::spawn_blocking(move || {
            for attempt in attempts {
                child::sweep(None, &child::token_of(attempt));
            }
        });
        let _ = swept.await;
        Ok(held)
    }

    fn is_alive(&self, peer: &Peer) -> bool {
        match (peer.state, peer.alive) {
            (WorkerState::Dead | WorkerState::Gone, _) => false,
            (WorkerState::Active | WorkerState::Draining | WorkerState::Suspect, Some(alive)) => alive,
            // No evidence either way: its lease decides.
            (WorkerState::Active | WorkerState::Draining | WorkerState::Suspect, None) => {
                peer.lease_until > self.shared.now()
            }
        }
    }

    /// Stops a run: what does not execute ends at once, what executes is told to stop. Attempts that a dead worker left
    /// behind end with it, so that an abandoned run is over afterwards.
    ///
    /// # Errors
    /// No such run, it is over or being stopped already, or the store fails.
    pub async fn cancel(&self, run_id: RunId, by: &str, reason: &str) -> Result<(), EngineError> {
        let job = Job::Cancel { by: by.to_owned(), reason: reason.to_owned() };
        self.ask(|reply| Command::Lane(run_id, job, Some(reply))).await?;
        if locked(&self.shared.runs).contains_key(&run_id) {
            return Ok(());
        }
        let Some(Loaded::Full(loaded)) = self.shared.config.store.load(&[(run_id, None)]).await?.pop() else {
            return Err(EngineError::NoRun(run_id));
        };
        match self.dead_holders(run_id, &loaded).await {
            Ok(dead) => self.reap(run_id, dead).await,
            // Its worker lives: the flag reaches it by the store's hint or with its next heartbeat.
            Err(EngineError::Held { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Lets a run that was set aside go on; then [`Engine::resume`] it.
    ///
    /// # Errors
    /// No such run, it is not set aside, or the store fails.
    pub async fn repair(&self, run_id: RunId, by: &str) -> Result<(), EngineError> {
        let job = Job::Repair { by: by.to_owned() };
        self.ask(|reply| Command::Lane(run_id, job, Some(reply))).await
    }

    async fn reap(&self, run_id: RunId, dead: BTreeSet<WorkerNo>) -> Result<(), EngineError> {
        for worker_no in dead {
            let words = format!("worker {worker_no} was gone when the run was resumed");
            let takeover = Takeover { worker_no, suspect: false, words };
            self.ask(|reply| Command::Lane(run_id, Job::Reap(takeover), Some(reply))).await?;
        }
        Ok(())
    }

    /// Ships logs that processes which are gone have left in their files, at once instead of after some seconds.
    pub async fn take_up_logs(&self) {
        if let Some(logs) = &self.shared.config.logs {
            ship::take_up(&self.shared, &**logs).await;
        }
    }

    /// Looks for changes and cancels that others have written, now instead of at the next heartbeat.
    pub fn nudge(&self) {
        self.shared.beat_wanted.notify_one();
        self.shared.command(Command::Changed(None));
        self.shared.command(Command::Look(None));
    }

    /// Starts nothing new and lets running attempts end, for at most [`EngineConfig::drain_limit`]; then kills what is
    /// left. Runs that are not over stay open for [`Engine::resume`]. Call [`Engine::abort`] meanwhile to hurry it.
    pub async fn drain(&self) {
        self.shared.enter(Phase::Draining);
        let deadline = tokio::time::Instant::now() + self.shared.config.drain_limit;
        let _ = tokio::time::timeout_at(
            deadline,
            self.until(|shared| locked(&shared.owned).is_empty() || shared.phase() >= Phase::Aborting),
        )
        .await;
        self.abort().await;
    }

    /// Kills running attempts; they end as `lost`, cause `drained`, and are repeated after a resume.
    pub async fn abort(&self) {
        self.shared.enter(Phase::Aborting);
        for attempt in locked(&self.shared.owned).values() {
            attempt.stop(Stop::Abort);
        }
        self.shared.released.notify_waiters();
        let _ = tokio::time::timeout(ABORT_LIMIT, self.until(|shared| locked(&shared.owned).is_empty())).await;
    }

    async fn until(&self, done: impl Fn(&Shared) -> bool) {
        loop {
            let released = self.shared.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            if done(&self.shared) {
                return;
            }
            released.await;
        }
    }

    /// Ends the engine: what still runs is killed, the worker says good-bye. Who waits for a run hears `Interrupted`.
    pub async fn shutdown(&self) {
        if self.shared.phase() == Phase::Stopped {
            return;
        }
        self.abort().await;
        let (done, closed) = oneshot::channel();
        self.shared.command(Command::Close(done));
        let _ = tokio::time::timeout(ABORT_LIMIT, closed).await;
        if let Some(logs) = &self.shared.config.logs {
            ship::flush(&self.shared, logs).await;
        }
        self.shared.enter(Phase::Stopped);
        let left = tokio::time::timeout(ABORT_LIMIT, self.pulse.leave()).await;
        let services = std::mem::take(&mut *locked(&self.services));
        for service in services {
            service.abort();
        }
        let open: Vec<RunId> = locked(&self.shared.runs).keys().copied().collect();
        for run_id in open {
            self.shared.run_ended(run_id, RunEnd::Interrupted);
        }
        let failed = match left {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the store does not answer".to_owned()),
        };
        if let Some(why) = failed {
            self.shared.warn(None, format!("saying good-bye failed: {why}; the lease will run out by itself"));
        }
    }

    fn handle(&self, run_id: RunId, queue: &str) -> RunHandle {
        locked(&self.shared.served).insert(queue.to_owned());
        let mut runs = locked(&self.shared.runs);
        let sender = runs.entry(run_id).or_insert_with(|| watch::channel(None).0);
        RunHandle { run_id, end: sender.subscribe() }
    }

    fn forget(&self, run_id: RunId, queue: &str) {
        locked(&self.shared.served).remove(queue);
        locked(&self.shared.runs).remove(&run_id);
    }

    pub(crate) async fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<(), EngineError> {
        let (reply, answer) = oneshot::channel();
        self.shared.command(command(reply));
        answer.await.unwrap_or(Err(EngineError::Stopping))
    }
}

impl Drop for Engine {
    /// Without [`Engine::shutdown`] the worker just vanishes, as in a crash: its lease runs out by itself.
    fn drop(&mut self) {
        for service in locked(&self.services).drain(..) {
            service.abort();
        }
    }
}

impl EngineConfig {
    /// This worker as the store knows it.
    pub(crate) fn worker_info(&self) -> WorkerInfo {
        WorkerInfo {
            name: self.name.clone(),
            host: crate::config::host_name(),
            pid: std::process::id(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            queues: self.queues.clone(),
            slots: self.slots,
        }
    }
}
