//! Results that could not be committed yet, on disk (engine.md F25): written after the first failed or unknown commit,
//! removed as soon as the store has decided about them, replayed when the run is resumed.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use updraft_model::id::{AttemptId, RunId, TaskKey};
use updraft_model::input::AttemptResult;
use updraft_model::record::{RunMetric, TaskItem};
use updraft_model::time::Timestamp;

/// A spooled result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spooled {
    pub run_id: RunId,
    pub key: TaskKey,
    pub dispatch_no: u32,
    pub attempt_id: AttemptId,
    pub result: AttemptResult,
    pub started_at: Option<Timestamp>,
    pub output: Option<String>,
    pub items: Vec<TaskItem>,
    pub metrics: Vec<RunMetric>,
}

/// See the module.
pub(crate) struct Spool {
    folder: PathBuf,
}

impl Spool {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, run_id: RunId, attempt: AttemptId) -> PathBuf {
        self.folder.join(format!("{run_id}-{attempt}.json"))
    }

    /// Writes one result durably.
    pub(crate) fn put(&self, result: &Spooled) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let path = self.path(result.run_id, result.attempt_id);
        let draft = path.with_extension("draft");
        let mut file = std::fs::File::create(&draft)?;
        file.write_all(&serde_json::to_vec(result)?)?;
        file.sync_all()?;
        std::fs::rename(&draft, &path)?;
        std::fs::File::open(&self.folder)?.sync_all()
    }

    /// Removes one; it need not be there.
    pub(crate) fn remove(&self, run_id: RunId, attempt: AttemptId) -> std::io::Result<()> {
        match std::fs::remove_file(self.path(run_id, attempt)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The results of a run. A file that does not read is an error: it holds a result that must not be lost silently.
    pub(crate) fn of_run(&self, run_id: RunId) -> std::io::Result<Vec<Spooled>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if is_result_of(&path, run_id) {
                found.push(serde_json::from_slice(&std::fs::read(&path)?)?);
            }
        }
        Ok(found)
    }
}

fn is_result_of(path: &Path, run_id: RunId) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
        && path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&run_id.to_string()))
}
