//! A run as its creator holds it.

use tokio::sync::watch;
use updraft_model::id::RunId;
use updraft_model::record::RunProjection;

/// How a run left this engine.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEnd {
    /// It is over: succeeded, failed or cancelled.
    Finished(RunProjection),
    /// This build cannot take it further; it can be repaired.
    Broken {
        /// What was found.
        detail: String,
    },
    /// The engine stopped before the run was over; it can be resumed.
    Interrupted,
}

/// A run that this engine carries out.
#[derive(Debug, Clone)]
pub struct RunHandle {
    pub(crate) run_id: RunId,
    pub(crate) end: watch::Receiver<Option<RunEnd>>,
}

impl RunHandle {
    /// Its id.
    pub fn run_id(&self) -> RunId {
        self.run_id
    }

    /// Waits until the run is over or the engine stops.
    pub async fn wait(&mut self) -> RunEnd {
        // An error: the engine is gone; what it told last still stands.
        let _ = self.end.wait_for(Option::is_some).await;
        self.end.borrow().clone().unwrap_or(RunEnd::Interrupted)
    }
}
