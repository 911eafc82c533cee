//! What a task author sees: the [`Task`] trait, the [`Context`], errors that say what to do, datasets, connections, the lake,
//! and the registry. The only crate of Updraft that task crates depend on.
#![warn(missing_docs)]

pub mod child;
pub mod connection;
pub mod context;
pub mod dataset;
pub mod error;
pub mod kept;
pub mod lake;
pub mod registry;
pub mod task;
pub mod testing;

pub use child::{ChildExit, ChildSpec, Lines, Output, StopSignal};
pub use connection::{Connection, ConnectionKind, Secret};
pub use context::{AttemptInfo, Context, Host, Level, RunInfo, Sibling};
pub use dataset::{Column, Dataset, Format, Input};
pub use error::{TaskError, Verdict};
pub use kept::{Shared, State};
pub use lake::{Lake, LakeConnection};
pub use registry::{Registry, TaskType};
pub use task::{ConnectionNeed, Effects, ErrorClass, Task};

// What tasks need of the model, so that they depend on this crate alone.
pub use updraft_model::record::{RunMetric, TaskItem};
pub use updraft_model::state::{TaskRunState, Trigger};
pub use updraft_model::time::{DataInterval, Timestamp};
