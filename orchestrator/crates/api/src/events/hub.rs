//! One place that hears what changed and tells all open streams: one read a changed run, however many streams are open,
//! and none at all while nobody listens.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use serde::Serialize;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use updraft_engine::EngineEvent;
use updraft_model::id::RunId;
use updraft_store::{Reader, Store, Wake};

use crate::dto::RunState;

/// Hints that a slow stream may be behind before it is told to look at everything.
const BEHIND: usize = 1_024;
/// Changes of a run within this time are one hint.
const GATHER: Duration = Duration::from_millis(100);
/// Runs looked up for one round of hints; the rest takes the next.
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

enum Heard {
    Run(RunId),
    Everything,
    Catalog(Option<String>),
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Hub {
    hints: broadcast::Sender<Arc<Hint>>,
    heard: mpsc::UnboundedSender<Heard>,
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
        let (heard, inbox) = mpsc::unbounded_channel();
        let hub = Self { hints, heard };
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
        tokio::spawn(hub.clone().work(inbox, reader, stop));
        hub
    }

    /// Hints from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Hint>> {
        self.hints.subscribe()
    }

    /// A run was changed by this process.
    pub(crate) fn touched(&self, run: RunId) {
        self.hear(Heard::Run(run));
    }

    /// Workflows were changed.
    pub(crate) fn catalog(&self, workflow: Option<String>) {
        self.hear(Heard::Catalog(workflow));
    }

    /// Nobody listens: nothing is to be looked up.
    fn hear(&self, heard: Heard) {
        if self.hints.receiver_count() > 0 {
            // The worker ends with the process.
            let _ = self.heard.send(heard);
        }
    }

    fn wake(&self, wake: Wake) {
        match wake {
            Wake::Run(run) => self.hear(Heard::Run(run)),
            Wake::Everything => self.hear(Heard::Everything),
            Wake::Cancel(_) | Wake::Queue(_) | Wake::Followed(_) => {}
        }
    }

    async fn follow_engine(self, mut events: broadcast::Receiver<EngineEvent>, stop: CancellationToken) {
        loop {
            match stop.run_until_cancelled(events.recv()).await {
                None | Some(Err(broadcast::error::RecvError::Closed)) => return,
                Some(Err(broadcast::error::RecvError::Lagged(_))) => self.hear(Heard::Everything),
                Some(Ok(event)) => {
                    if let Some(run) = run_of(&event) {
                        self.hear(Heard::Run(run));
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

    async fn work(self, mut inbox: mpsc::UnboundedReceiver<Heard>, reader: Arc<dyn Reader>, stop: CancellationToken) {
        let mut changed: BTreeSet<RunId> = BTreeSet::new();
        loop {
            if changed.is_empty() {
                match stop.run_until_cancelled(inbox.recv()).await {
                    None | Some(None) => return,
                    Some(Some(heard)) => self.note(heard, &mut changed),
                }
            }
            while let Ok(heard) = inbox.try_recv() {
                self.note(heard, &mut changed);
            }
            // First hints go out at once; what comes meanwhile is gathered for the next round.
            let round: Vec<RunId> = changed.iter().copied().take(ROUND).collect();
            for run in round {
                changed.remove(&run);
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

    fn note(&self, heard: Heard, changed: &mut BTreeSet<RunId>) {
        match heard {
            Heard::Run(run) => {
                changed.insert(run);
            }
            Heard::Everything => self.tell(Hint::Reset),
            Heard::Catalog(workflow) => self.tell(Hint::Catalog { workflow }),
        }
    }

    fn tell(&self, hint: Hint) {
        // Without a listener there is nobody to tell.
        let _ = self.hints.send(Arc::new(hint));
    }
}

/// Progress inside an attempt is no transition: lists do not change by it.
fn run_of(event: &EngineEvent) -> Option<RunId> {
    match event {
        EngineEvent::RunStarted { run_id }
        | EngineEvent::TaskDispatched { run_id, .. }
        | EngineEvent::AttemptStarted { run_id, .. }
        | EngineEvent::AttemptEnded { run_id, .. }
        | EngineEvent::RetryScheduled { run_id, .. }
        | EngineEvent::TaskFinished { run_id, .. }
        | EngineEvent::RunFinished { run_id, .. } => Some(*run_id),
        EngineEvent::Warning { run_id, .. } => *run_id,
        EngineEvent::Progress { .. } => None,
    }
}
