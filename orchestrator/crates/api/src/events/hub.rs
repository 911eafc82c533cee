//! One place that hears what changed and tells all open streams: one read a changed run, however many streams are open,
//! and none at all while nobody listens.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use serde::Serialize;
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;
use updraft_engine::EngineEvent;
use updraft_model::id::RunId;
use updraft_store::{Reader, Store, Wake};

use crate::dto::RunState;

/// Hints that a slow stream may be behind before it is told to look at everything.
const BEHIND: usize = 1_024;
/// Changes of a run within this time are one hint.
const GATHER: Duration = Duration::from_millis(100);
/// Runs looked up for one round of hints; more are one hint that says everything.
const ROUND: usize = 256;

/// Something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hint {
    /// Look at everything.
    Reset,
    /// A run moved on.
    Run(RunHint),
    /// Workflows changed.
    Catalog {
        /// Which; `None`: any of them.
        workflow: Option<String>,
    },
}

/// A run moved on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RunHint {
    /// The run.
    pub run: RunId,
    /// Its version now.
    pub version: u64,
    /// Its workflow.
    pub workflow: String,
    /// Where it is now.
    pub state: RunState,
}

/// What was heard since the last round. A run of 10,000 tasks is heard of 30,000 times and stands here once.
#[derive(Default)]
struct Heard {
    everything: bool,
    catalog: BTreeSet<Option<String>>,
    runs: BTreeSet<RunId>,
}

impl Heard {
    fn is_empty(&self) -> bool {
        !self.everything && self.catalog.is_empty() && self.runs.is_empty()
    }
}

#[derive(Default)]
struct Inbox {
    heard: Mutex<Heard>,
    more: Notify,
}

impl Inbox {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that was heard, once something was.
    async fn take(&self) -> Heard {
        loop {
            let heard = std::mem::take(&mut *self.heard());
            if !heard.is_empty() {
                return heard;
            }
            self.more.notified().await;
        }
    }
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Hub {
    hints: broadcast::Sender<Arc<Hint>>,
    inbox: Arc<Inbox>,
}

impl Hub {
    /// Starts to listen; ends with `stop`.
    pub(crate) fn start(
        store: &Arc<dyn Store>,
        reader: Arc<dyn Reader>,
        engine: Option<broadcast::Receiver<EngineEvent>>,
        stop: CancellationToken,
    ) -> Self {
        let (hints, _) = broadcast::channel(BEHIND);
        let hub = Self { hints, inbox: Arc::default() };
        let mut wakes = store.wakes();
        let tell = hub.clone();
        let until = stop.clone();
        tokio::spawn(async move {
            while let Some(Some(wake)) = until.run_until_cancelled(wakes.next()).await {
                tell.wake(wake);
            }
        });
        if let Some(events) = engine {
            tokio::spawn(hub.clone().follow_engine(events, stop.clone()));
        }
        tokio::spawn(hub.clone().work(reader, stop));
        hub
    }

    /// Hints from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Hint>> {
        self.hints.subscribe()
    }

    /// A run was changed by this process.
    pub(crate) fn touched(&self, run: RunId) {
        self.hear(|heard| heard.runs.insert(run));
    }

    /// Workflows were changed.
    pub(crate) fn catalog(&self, workflow: Option<String>) {
        self.hear(|heard| heard.catalog.insert(workflow));
    }

    fn everything(&self) {
        self.hear(|heard| !std::mem::replace(&mut heard.everything, true));
    }

    /// Notes what is new, says `note`. While nobody listens nothing is to be looked up.
    fn hear(&self, note: impl FnOnce(&mut Heard) -> bool) {
        if self.hints.receiver_count() > 0 && note(&mut self.inbox.heard()) {
            self.inbox.more.notify_one();
        }
    }

    fn wake(&self, wake: Wake) {
        match wake {
            Wake::Run(run) => self.touched(run),
            Wake::Everything => self.everything(),
            Wake::Cancel(_) | Wake::Queue(_) | Wake::Followed(_) => {}
        }
    }

    async fn follow_engine(self, mut events: broadcast::Receiver<EngineEvent>, stop: CancellationToken) {
        loop {
            match stop.run_until_cancelled(events.recv()).await {
                None | Some(Err(broadcast::error::RecvError::Closed)) => return,
                Some(Err(broadcast::error::RecvError::Lagged(_))) => self.everything(),
                Some(Ok(event)) => {
                    if let Some(run) = run_of(&event) {
                        self.touched(run);
                    }
                }
            }
        }
    }

    /// Tells of every look at the files that changed something.
    pub(crate) fn follow_catalog(
        &self,
        mut views: watch::Receiver<Arc<updraft_catalog::View>>,
        stop: CancellationToken,
    ) {
        let hub = self.clone();
        tokio::spawn(async move {
            while let Some(Ok(())) = stop.run_until_cancelled(views.changed()).await {
                views.mark_unchanged();
                hub.catalog(None);
            }
        });
    }

    async fn work(self, reader: Arc<dyn Reader>, stop: CancellationToken) {
        // First hints go out at once; what comes meanwhile is gathered for the next round.
        while let Some(mut heard) = stop.run_until_cancelled(self.inbox.take()).await {
            if heard.everything || heard.runs.len() > ROUND {
                heard.runs.clear();
                self.tell(Hint::Reset);
            }
            for workflow in heard.catalog {
                self.tell(Hint::Catalog { workflow });
            }
            for run in heard.runs {
                match reader.run(run).await {
                    Ok(Some(view)) => self.tell(Hint::Run(RunHint {
                        run,
                        version: view.row.version,
                        workflow: view.workflow,
                        state: view.row.projection.state.into(),
                    })),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::debug!(%error, "a hint could not be looked up");
                        self.tell(Hint::Reset);
                    }
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(GATHER)).await.is_none() {
                return;
            }
        }
    }

    fn tell(&self, hint: Hint) {
        // Without a listener there is nobody to tell.
        let _ = self.hints.send(Arc::new(hint));
    }
}

/// How far an attempt is changes no list; the parts of its work are shown on its page.
fn run_of(event: &EngineEvent) -> Option<RunId> {
    match event {
        EngineEvent::RunStarted { run_id }
        | EngineEvent::TaskDispatched { run_id, .. }
        | EngineEvent::AttemptStarted { run_id, .. }
        | EngineEvent::ItemChanged { run_id, .. }
        | EngineEvent::AttemptEnded { run_id, .. }
        | EngineEvent::RetryScheduled { run_id, .. }
        | EngineEvent::TaskFinished { run_id, .. }
        | EngineEvent::RunFinished { run_id, .. } => Some(*run_id),
        EngineEvent::Warning { run_id, .. } => *run_id,
        EngineEvent::Progress { .. } => None,
    }
}
