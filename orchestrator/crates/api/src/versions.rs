//! Workflow versions, compiled once and kept: they never change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use updraft_model::graph::Compiled;
use updraft_model::id::VersionId;
use updraft_model::workflow::Workflow;
use updraft_store::Reader;

use crate::problem::Problem;

/// A version.
#[derive(Debug)]
pub(crate) struct Version {
    /// sha-256 of its source.
    pub sha256: String,
    /// Its file.
    pub path: String,
    /// It, compiled.
    pub compiled: Arc<Compiled>,
}

/// Versions that are kept.
const KEPT: usize = 512;

/// See the module.
pub(crate) struct Versions {
    reader: Arc<dyn Reader>,
    kept: Mutex<BTreeMap<i64, Arc<Version>>>,
}

impl Versions {
    pub(crate) fn new(reader: Arc<dyn Reader>) -> Self {
        Self { reader, kept: Mutex::default() }
    }

    /// A version.
    pub(crate) async fn get(&self, version: VersionId) -> Result<Arc<Version>, Problem> {
        if let Some(known) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&version.0) {
            return Ok(Arc::clone(known));
        }
        let view = self.reader.version(version).await?;
        let view = view.ok_or_else(|| Problem::internal(format!("version {version} is not in the store")))?;
        let made = Arc::new(Version { sha256: view.sha256, path: view.path, compiled: compile(&view.compiled)? });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            // The oldest version is the one least likely to be looked at again.
            kept.pop_first();
        }
        kept.insert(version.0, Arc::clone(&made));
        Ok(made)
    }
}

/// A stored version, compiled.
fn compile(text: &str) -> Result<Arc<Compiled>, Problem> {
    let unreadable = |error: String| {
        Problem::unfit("version_unreadable", format!("this build cannot read the workflow version: {error}"))
    };
    let workflow: Workflow = serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    Compiled::new(workflow).map(Arc::new).map_err(|error| unreadable(error.to_string()))
}
