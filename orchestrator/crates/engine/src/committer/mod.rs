//! The one task that writes: it gathers what came while the commit before was in flight, decides against cached runs,
//! sends one conditional commit that also claims what comes next, and starts bodies only after it (engine.md §2).
//!
//! ```text
//! bodies ──Finish──▶ gather ─▶ build (decide + apply, tentative) ─▶ commit ─▶ applied: keep caches, tell, start
//!                       ▲                                            ├─ refused: evict; stale runs → lane; rest again
//!                       └────────────── again ◀──────────────────────┴─ error: bisect, wait, or ask for the outcome
//! ```
//! Runs in a lane (a transaction that waits for one run's lock) are out of the batch path until their lane is empty.

mod adopt;
pub(crate) mod build;
pub(crate) mod command;
mod commit;
pub(crate) mod lane;
mod lanes;
mod load;
mod trouble;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use updraft_model::id::{AttemptId, RunId, VersionId};
use updraft_model::record::WorkRow;
use updraft_model::run::{Limits, Run};
use updraft_model::state::Cause;

use crate::cache::{CachedRun, Lru};
use crate::plan::Plan;
use crate::shared::{Phase, Shared, locked, new_attempt};

use build::Heads;
use command::Item;
pub(crate) use command::{Command, Create, Finish, Job, Reply, Takeover};
pub(crate) use lane::lost;
use lanes::Lanes;
pub(crate) use load::{load_locked, read_version, snapshot};
pub(crate) use trouble::backoff as trouble_backoff;

/// Most results in one commit, and most bytes of them.
const MAX_ITEMS: usize = 256;
const MAX_BYTES: usize = 1 << 20;

/// See the module.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
    cache: Lru<RunId, CachedRun>,
    /// Runs that this engine carries out, on the versions that they are known to be on.
    open: HashMap<RunId, (VersionId, Arc<Plan>)>,
    plans: HashMap<VersionId, Arc<Plan>>,
    heads: Heads,
    /// Attempts that hold a slot.
    busy: usize,
    waiting: VecDeque<Item>,
    waiting_bytes: usize,
    lanes: Lanes,
    /// Runs that others may have moved on.
    hints: HashSet<RunId>,
    /// Failures of the store in a row.
    failures: u32,
    strikes: HashMap<RunId, u32>,
    /// The store says that this worker is not active: write no claims until it is registered anew.
    no_claims: bool,
    close: Option<oneshot::Sender<()>>,
}

impl Committer {
    pub(crate) fn new(shared: Arc<Shared>, commands: mpsc::UnboundedReceiver<Command>) -> Self {
        let mut heads = Heads::default();
        for queue in &shared.config.queues {
            heads.serve(queue.clone());
        }
        heads.look(None);
        Self {
            cache: Lru::new(shared.config.cache_bytes),
            shared,
            commands,
            open: HashMap::new(),
            plans: HashMap::new(),
            heads,
            busy: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            lanes: Lanes::default(),
            hints: HashSet::new(),
            failures: 0,
            strikes: HashMap::new(),
            no_claims: false,
            close: None,
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            if self.waiting.is_empty() && !self.wants_claim() {
                if self.close.is_some() && self.lanes.is_empty() {
                    break;
                }
                match self.commands.recv().await {
                    Some(command) => self.take(command).await,
                    None => break,
                }
            }
            self.gather().await;
            if !self.waiting.is_empty() && self.busy > 0 {
                // Bodies that were started together and have nothing to wait for end now, not one commit later.
                tokio::task::yield_now().await;
                self.gather().await;
            }
            if !self.waiting.is_empty() {
                let items: Vec<Item> = self.waiting.drain(..).collect();
                self.waiting_bytes = 0;
                self.commit_all(items).await;
            } else if self.wants_claim() {
                self.claim_ready().await;
            }
        }
        if let Some(done) = self.close.take() {
            let _ = done.send(());
        }
    }

    /// Takes what is there, as much as one commit holds. Waits for nobody.
    async fn gather(&mut self) {
        while self.waiting.len() < MAX_ITEMS && self.waiting_bytes < MAX_BYTES {
            match self.commands.try_recv() {
                Ok(command) => self.take(command).await,
                Err(_) => break,
            }
        }
    }

    async fn take(&mut self, command: Command) {
        match command {
            Command::Finish(mut finish) => {
                if std::mem::take(&mut finish.had_slot) {
                    self.busy = self.busy.saturating_sub(1);
                }
                if self.failures > 0 {
                    self.spool(&mut finish);
                }
                self.wait_for_commit(Item::Finish(finish));
            }
            Command::Create(create) => {
                let facts = &create.facts;
                self.open_run(facts.run_id, facts.version_id, Arc::clone(&create.plan), facts.queue.clone());
                self.wait_for_commit(Item::Create(create));
            }
            Command::Adopt(made) => self.adopt(*made).await,
            Command::Open(run_id, version, plan, queue) => self.open_run(run_id, version, plan, queue),
            Command::Lane(run_id, job, reply) => self.enter_lane(run_id, job, reply).await,
            Command::LaneDone(done) => self.lane_done(*done).await,
            Command::Look(queue) => self.heads.look(queue.as_deref()),
            Command::Changed(Some(run_id)) => self.hinted(run_id),
            Command::Changed(None) => self.look_at_runs().await,
            Command::Registered => {
                self.no_claims = false;
                self.heads.look(None);
            }
            Command::Released => self.busy = self.busy.saturating_sub(1),
            Command::Close(done) => self.close = Some(done),
        }
    }

    fn wait_for_commit(&mut self, item: Item) {
        match item {
            Item::Finish(finish) if self.lanes.holds(finish.run_id) => self.lanes.add(*finish),
            item => {
                if let Item::Finish(finish) = &item {
                    self.waiting_bytes += finish.bytes();
                }
                self.waiting.push_back(item);
            }
        }
    }

    fn open_run(&mut self, run_id: RunId, version: VersionId, plan: Arc<Plan>, queue: String) {
        self.heads.serve(queue);
        self.open.insert(run_id, (version, plan));
    }

    fn limits(&self) -> Limits {
        Limits { window: self.shared.config.dispatch_window, ..Limits::default() }
    }

    fn free_slots(&self) -> usize {
        if self.shared.phase() > Phase::Serving || self.no_claims {
            return 0;
        }
        (self.shared.config.slots as usize).saturating_sub(self.busy)
    }

    fn wants_claim(&self) -> bool {
        self.heads.best().is_some() && self.free_slots() > 0
    }

    /// Claims ready rows of the best queue.
    async fn claim_ready(&mut self) {
        let Some(queue) = self.heads.best().map(str::to_owned) else { return };
        let attempts: Vec<AttemptId> = (0..self.free_slots()).map(|_| new_attempt()).collect();
        let worker_no = self.shared.worker_no();
        match self.shared.config.store.claim(worker_no, &queue, &attempts, self.shared.now()).await {
            Ok(rows) => {
                self.failures = 0;
                self.heads.claimed(&queue, attempts.len(), &rows);
                self.start(rows).await;
            }
            Err(error) => {
                let unknown = matches!(error, updraft_store::StoreError::UnknownOutcome(_));
                self.pause("claiming ready tasks", &error).await;
                if unknown {
                    let rows = self.claimed_rows(&attempts).await;
                    self.start(rows).await;
                }
            }
        }
    }

    /// Starts the bodies of rows that are durably ours.
    async fn start(&mut self, rows: Vec<WorkRow>) {
        for row in rows {
            // What is cached may be of before the dispatch, or even of another version: others drive this run too.
            let known = self.cache.get_mut(&row.run_id).is_some_and(|cached| cached.knows(&row.dispatch));
            if !known {
                self.cache.remove(&row.run_id);
            }
            if !known && !self.load_run(row.run_id).await {
                // The row stays ours in the store; the next heartbeat finds it unaccounted for and hands it back.
                continue;
            }
            let Some(cached) = self.cache.get_mut(&row.run_id) else { continue };
            self.busy += 1;
            crate::attempt::spawn(&self.shared, cached, &row);
        }
        self.cache.trim();
    }

    /// A run left the batch path for good: it is over, or set aside.
    fn forget(&mut self, run_id: RunId) {
        if let Some(cached) = self.cache.remove(&run_id) {
            let queue = &cached.run.facts().queue;
            if !self.shared.config.queues.contains(queue) {
                self.heads.forget(queue);
                locked(&self.shared.served).remove(queue);
            }
        }
        self.open.remove(&run_id);
        self.strikes.remove(&run_id);
    }

    /// What follows from a run's state after a commit, whoever made it.
    fn after_commit(&mut self, run_id: RunId, run: &Run) {
        let projection = run.projection();
        if projection.state.is_final() {
            self.shared.run_ended(run_id, crate::run_handle::RunEnd::Finished(projection.clone()));
            if let Some(scheduler) = &self.shared.config.scheduler {
                scheduler.run_ended(run.facts().workflow_id);
            }
        } else if run.is_over_event_limit() {
            self.shared.command(Command::Lane(run_id, Job::Abort { cause: Cause::EventLimit }, None));
        }
    }
}
