//! Renews the lease, and compares what the store says this worker executes with what it knows of (engine.md F7): what the
//! store no longer knows is stopped; what nobody here knows is handed back; cancels are delivered.
//!
//! It runs on a thread and a runtime of its own, so that no busy or blocked task can keep it from beating; and it beats
//! only if the runtime of the tasks answers, so that no dead one is kept alive (F35).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use updraft_model::id::{AttemptId, WorkerNo};
use updraft_model::record::WorkRow;
use updraft_model::state::Cause;
use updraft_store::{Store, StoreError, WorkerInfo};

use super::observer::{Observer, Verdict};
use crate::committer::{Command, lost};
use crate::error::EngineError;
use crate::owned::Stop;
use crate::shared::{Phase, Shared, locked};

/// How long an unaccounted row may wait for its claim's answer.
const ORPHAN_AFTER: Duration = Duration::from_secs(5);
/// How long the runtime of the tasks may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How often the session is tried where nobody else is looked at.
const TRY_EVERY: Duration = Duration::from_millis(2500);
/// How often to look at other workers where there is none.
const LOOK_WHEN_ALONE: Duration = Duration::from_secs(5);
/// How often to look where only this process can write.
const LOOK_WHEN_CERTAIN: Duration = Duration::from_secs(15);
/// Sleep of the system that ends this worker's trust in its lease.
const SLEPT: Duration = Duration::from_secs(2);

/// A question to the runtime of the tasks.
pub(crate) type Ping = oneshot::Sender<()>;

enum Order {
    Serve(Arc<Shared>, mpsc::UnboundedSender<Vec<Verdict>>, mpsc::UnboundedSender<Ping>),
    Leave(oneshot::Sender<Result<(), StoreError>>),
}

/// A handle on the thread; without it the thread ends, and nobody says good-bye.
pub(crate) struct Pulse {
    orders: mpsc::UnboundedSender<Order>,
}

impl Pulse {
    /// Starts the thread and registers the worker from it.
    pub(crate) async fn start(store: Arc<dyn Store>, info: WorkerInfo) -> Result<(Self, WorkerNo), EngineError> {
        let (orders, mut inbox) = mpsc::unbounded_channel();
        let (registered, answer) = oneshot::channel();
        let io = |source| EngineError::Io { what: "starting the heartbeat's thread".to_owned(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io)?;
        std::thread::Builder::new()
            .name("updraft-heartbeat".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    let worker_no = store.register(&info).await;
                    let failed = worker_no.is_err();
                    if registered.send(worker_no).is_err() || failed {
                        return;
                    }
                    if let Some(Order::Serve(shared, verdicts, pings)) = inbox.recv().await {
                        Heart::new(shared, verdicts, pings).serve(inbox).await;
                    }
                });
            })
            .map_err(io)?;
        let worker_no = answer.await.map_err(|_| EngineError::Stopping)??;
        Ok((Self { orders }, worker_no))
    }

    pub(crate) fn serve(
        &self,
        shared: Arc<Shared>,
        verdicts: mpsc::UnboundedSender<Vec<Verdict>>,
        pings: mpsc::UnboundedSender<Ping>,
    ) {
        // The thread waits for this.
        let _ = self.orders.send(Order::Serve(shared, verdicts, pings));
    }

    /// Says good-bye and ends the thread.
    pub(crate) async fn leave(&self) -> Result<(), StoreError> {
        let (done, left) = oneshot::channel();
        let gone = || StoreError::Unavailable("the heartbeat's thread is gone".to_owned());
        self.orders.send(Order::Leave(done)).map_err(|_| gone())?;
        left.await.map_err(|_| gone())?
    }
}

/// Answers the heartbeat from the runtime of the tasks.
pub(crate) async fn answer(mut pings: mpsc::UnboundedReceiver<Ping>) {
    while let Some(ping) = pings.recv().await {
        // Who asked may have given up.
        let _ = ping.send(());
    }
}

struct Heart {
    shared: Arc<Shared>,
    verdicts: mpsc::UnboundedSender<Vec<Verdict>>,
    pings: mpsc::UnboundedSender<Ping>,
    observer: Option<Observer>,
    orphans: HashMap<AttemptId, Instant>,
    failures: u32,
    next_beat: Instant,
    next_look: Instant,
    trust_told: bool,
    stuck_told: bool,
    sleeps: Sleeps,
}

impl Heart {
    fn new(
        shared: Arc<Shared>,
        verdicts: mpsc::UnboundedSender<Vec<Verdict>>,
        pings: mpsc::UnboundedSender<Ping>,
    ) -> Self {
        let now = Instant::now();
        Self {
            observer: shared.config.watch.map(Observer::new),
            next_beat: now + shared.config.heartbeat,
            next_look: now,
            shared,
            verdicts,
            pings,
            orphans: HashMap::new(),
            failures: 0,
            trust_told: false,
            stuck_told: false,
            sleeps: Sleeps::start(),
        }
    }

    async fn serve(mut self, mut inbox: mpsc::UnboundedReceiver<Order>) {
        loop {
            let mut wake = self.next_beat;
            if self.looks() {
                wake = wake.min(self.next_look);
            }
            if !self.trust_told
                && let Some(until) = self.shared.trusted_until()
            {
                wake = wake.min(until);
            }
            tokio::select! {
                order = inbox.recv() => match order {
                    None => return,
                    Some(Order::Leave(done)) => {
                        let _ = done.send(self.shared.config.store.leave(self.shared.worker_no()).await);
                        return;
                    }
                    Some(Order::Serve(..)) => {}
                },
                () = self.shared.beat_wanted.notified() => self.next_beat = Instant::now(),
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            if self.shared.phase() == Phase::Stopped {
                // Only the good-bye is left to be said.
                self.next_beat = Instant::now() + Duration::from_hours(1);
                self.next_look = self.next_beat;
                continue;
            }
            self.check_trust();
            if self.next_beat <= Instant::now() {
                self.beat().await;
            }
            if self.looks() && self.next_look <= Instant::now() {
                self.look().await;
            }
        }
    }

    /// A process or system that slept must first know that its lease went on (F20).
    fn check_trust(&mut self) {
        if self.sleeps.slept() {
            self.shared.distrust();
        }
        if self.shared.is_trusted() {
            self.trust_told = false;
            return;
        }
        if std::mem::replace(&mut self.trust_told, true) {
            return;
        }
        self.next_beat = Instant::now();
        let mut stopped = 0;
        for attempt in locked(&self.shared.owned).values() {
            if !attempt.repeatable {
                attempt.stop(Stop::LeaseLost);
                stopped += 1;
            }
        }
        self.shared.warn(
            None,
            format!(
                "this worker cannot be sure of its lease any more: nothing new starts, and {stopped} attempts that must not \
                 run twice are stopped"
            ),
        );
    }

    /// The runtime of the tasks works.
    async fn is_answered(&mut self) -> bool {
        let (ping, pong) = oneshot::channel();
        let answered =
            self.pings.send(ping).is_ok() && matches!(tokio::time::timeout(ANSWER_WITHIN, pong).await, Ok(Ok(())));
        if !answered && !std::mem::replace(&mut self.stuck_told, true) {
            tracing::error!(
                "the tasks' runtime has not answered for {} s: no heartbeat is sent, so that others take over",
                ANSWER_WITHIN.as_secs()
            );
        }
        if answered {
            self.stuck_told = false;
        }
        answered
    }

    async fn beat(&mut self) {
        let answered = self.is_answered().await;
        let soon = Duration::from_secs(1).min(self.shared.config.heartbeat);
        if !answered {
            self.next_beat = Instant::now() + soon;
            return;
        }
        let sent = Instant::now();
        match self.shared.config.store.beat(self.shared.worker_no()).await {
            Ok(beaten) if beaten.active => {
                self.failures = 0;
                self.trust_told = false;
                self.shared.trust_from(sent);
                if self.shared.claims_refused.swap(false, Ordering::AcqRel) {
                    self.shared.command(Command::Registered);
                }
                reconcile(&self.shared, sent, &beaten.executing, &mut self.orphans);
                if self.shared.config.poll.is_some() {
                    self.shared.command(Command::Changed(None));
                }
            }
            Ok(_) => declared_dead(&self.shared).await,
            Err(error) => {
                self.failures += 1;
                if self.failures == 1 {
                    self.shared.warn(None, format!("the heartbeat failed: {error}; running tasks go on"));
                }
            }
        }
        let pause = match self.failures {
            0 if self.orphans.is_empty() => self.shared.config.heartbeat,
            0 => ORPHAN_AFTER.min(self.shared.config.heartbeat),
            _ => soon,
        };
        self.next_beat = Instant::now() + pause;
    }

    /// Whether there is anything to look at: other workers, or a session that can break.
    fn looks(&self) -> bool {
        self.observer.is_some() || self.shared.config.poll.is_some()
    }

    async fn look(&mut self) {
        let at = Instant::now();
        let own = self.shared.worker_no();
        let pause = match (self.shared.config.store.look(own).await, &mut self.observer) {
            (Ok(look), Some(observer)) => {
                let verdicts = observer.judge(at, &look, own);
                if !verdicts.is_empty() {
                    // Its reader ends with the engine only.
                    let _ = self.verdicts.send(verdicts);
                }
                let alone = look.peers.iter().all(|peer| peer.worker_no == own);
                match (look.certain, alone, self.shared.config.watch) {
                    (true, ..) => LOOK_WHEN_CERTAIN,
                    (false, true, _) => LOOK_WHEN_ALONE,
                    (false, false, Some(watch)) => watch.every,
                    (false, false, None) => TRY_EVERY,
                }
            }
            (Ok(_), None) => TRY_EVERY,
            (Err(error), observer) => {
                tracing::debug!(%error, "the heartbeat's session broke; a new one is opened");
                if let Some(observer) = observer {
                    observer.blind();
                }
                if self.failures == 0 {
                    self.next_beat = at;
                }
                Duration::from_secs(1)
            }
        };
        self.next_look = at + pause;
    }
}

/// Finds out that the system was asleep: `Instant` does not count that time, the system's uptime does.
struct Sleeps {
    began: Instant,
    uptime: Option<Duration>,
}

impl Sleeps {
    fn start() -> Self {
        Self { began: Instant::now(), uptime: uptime() }
    }

    /// Whether the system slept since the last call.
    fn slept(&mut self) -> bool {
        let before = std::mem::replace(self, Self::start());
        match (before.uptime, self.uptime) {
            (Some(then), Some(now)) => now.saturating_sub(then) > self.began.duration_since(before.began) + SLEPT,
            (None, _) | (_, None) => false,
        }
    }
}

fn uptime() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    Duration::try_from_secs_f64(text.split_whitespace().next()?.parse().ok()?).ok()
}

fn reconcile(shared: &Shared, sent: Instant, executing: &[WorkRow], orphans: &mut HashMap<AttemptId, Instant>) {
    let owned = locked(&shared.owned).clone();
    let mut known: HashMap<AttemptId, &WorkRow> = HashMap::with_capacity(executing.len());
    for row in executing {
        if let Some(attempt_id) = row.attempt_id {
            known.insert(attempt_id, row);
        }
    }
    for (attempt_id, attempt) in &owned {
        match known.get(attempt_id) {
            Some(row) if row.cancel_at.is_some() => attempt.stop(Stop::Cancel),
            Some(_) => {}
            // Claimed before the question was asked, and still not there: somebody else has it now.
            None if attempt.claimed + ORPHAN_AFTER < sent => {
                shared.warn(
                    Some(attempt.run_id),
                    format!(
                        "attempt {} of `{}` is no longer ours; its body is stopped",
                        attempt.dispatch_no, attempt.key
                    ),
                );
                attempt.stop(Stop::Fenced);
            }
            None => {}
        }
    }
    orphans.retain(|attempt_id, _| known.contains_key(attempt_id) && !owned.contains_key(attempt_id));
    for (attempt_id, row) in known {
        if owned.contains_key(&attempt_id) {
            continue;
        }
        let since = *orphans.entry(attempt_id).or_insert(sent);
        if sent.duration_since(since) >= ORPHAN_AFTER {
            orphans.remove(&attempt_id);
            let words = format!("worker {} holds it in the store and knows nothing of it", shared.config.name);
            shared.command(Command::Finish(Box::new(lost(row, attempt_id, Cause::Orphaned, words))));
        }
    }
}

/// Others have taken this worker for dead: everything it runs is theirs now. It starts over under a new number.
async fn declared_dead(shared: &Shared) {
    shared.warn(None, "this worker was declared dead by others; its tasks are stopped and it registers anew");
    for attempt in locked(&shared.owned).values() {
        attempt.stop(Stop::Fenced);
    }
    let sent = Instant::now();
    match shared.config.store.register(&shared.config.worker_info()).await {
        Ok(worker_no) => {
            shared.set_worker_no(worker_no);
            shared.claims_refused.store(false, Ordering::Release);
            shared.trust_from(sent);
            shared.command(Command::Registered);
        }
        Err(error) => shared.warn(None, format!("registering failed: {error}; this is tried again")),
    }
}
