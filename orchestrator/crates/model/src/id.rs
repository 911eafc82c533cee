//! Typed identifiers. Makers of random ones live outside: the model draws no random numbers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id! {
    /// One run. UUIDv7, made by the client, so that keys are time-ordered.
    RunId
}
uuid_id! {
    /// One attempt; the second half of the fence beside `dispatch_no`.
    AttemptId
}
uuid_id! {
    /// Id of the last commit that touched a run; with the version it tells whether a cached state is still true.
    Stamp
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id! {
    /// A workflow's number in the store.
    WorkflowId
}
number_id! {
    /// An immutable content of a workflow (by sha-256) in the store.
    VersionId
}
number_id! {
    /// A worker's number in the store.
    WorkerNo
}

/// A task's name inside its workflow. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(Arc<str>);

impl TaskId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for TaskId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for TaskId {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl std::borrow::Borrow<str> for TaskId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Position of a mapped instance; [`MapIndex::NONE`] for a task that is not mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MapIndex(pub i32);

impl MapIndex {
    /// The task is not mapped (Airflow's −1).
    pub const NONE: Self = Self(-1);
}

impl Default for MapIndex {
    fn default() -> Self {
        Self::NONE
    }
}

/// A task run inside one run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    /// The task.
    pub task: TaskId,
    /// Its mapped instance.
    pub map_index: MapIndex,
}

impl TaskKey {
    /// Key of a task that is not mapped.
    pub fn of(task: impl Into<TaskId>) -> Self {
        Self { task: task.into(), map_index: MapIndex::NONE }
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.map_index == MapIndex::NONE {
            self.task.fmt(f)
        } else {
            write!(f, "{}[{}]", self.task, self.map_index.0)
        }
    }
}
