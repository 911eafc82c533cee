//! What can go wrong between the engine and who uses it. What goes wrong inside a task is data of its attempt, not an error here.

use updraft_model::graph::GraphError;
use updraft_model::id::{RunId, WorkerNo, WorkflowId};
use updraft_model::input::Reject;
use updraft_model::state::RunState;
use updraft_store::StoreError;

/// Why the engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A folder or thread that the engine needs cannot be had.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The model says no.
    #[error("run {run_id}: {reject}")]
    Rejected {
        /// The run.
        run_id: RunId,
        /// Why.
        reject: Reject,
    },
    /// A run with this key exists in its workflow.
    #[error("a run with the key `{0}` exists in this workflow")]
    KeyTaken(String),
    /// No such run.
    #[error("no run {0} in this store")]
    NoRun(RunId),
    /// No such workflow, or it was never published with its schedule.
    #[error("workflow {0} was not published to this store")]
    NoWorkflow(WorkflowId),
    /// The run is over: there is nothing to go on with.
    #[error("run {run_id} is over ({state}); start a new one with `updraft run FILE`")]
    RunOver {
        /// The run.
        run_id: RunId,
        /// How it ended.
        state: RunState,
    },
    /// The run is set aside.
    #[error("run {run_id} is broken: {detail}; repair it with `updraft runs repair {run_id}`")]
    Broken {
        /// The run.
        run_id: RunId,
        /// What was found.
        detail: String,
    },
    /// Another live worker executes tasks of the run.
    #[error("run {run_id} is executed by worker {worker_no} ({name}), which is alive; stop it first")]
    Held {
        /// The run.
        run_id: RunId,
        /// Who holds it.
        worker_no: WorkerNo,
        /// Its name.
        name: String,
    },
    /// The stored workflow version cannot be read by this build.
    #[error("run {run_id}: its workflow version cannot be read: {detail}")]
    Version {
        /// The run.
        run_id: RunId,
        /// Why.
        detail: String,
    },
    /// The stored graph is not a graph.
    #[error("the workflow has no graph: {0}")]
    Graph(#[from] GraphError),
    /// The engine is stopping or has stopped.
    #[error("the engine is stopping: nothing new is started")]
    Stopping,
}
