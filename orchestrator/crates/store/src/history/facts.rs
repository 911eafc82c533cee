//! What lists need to know of a workflow version, read from its compiled form. It never changes, so it is kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use updraft_model::id::VersionId;

use crate::StoreError;

/// A task of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFacts {
    /// Its name.
    pub id: String,
    /// Its task type.
    pub task_type: String,
    /// Longest way from a root, from 0.
    pub depth: u32,
}

/// A version's tasks, in file order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionFacts {
    /// The tasks.
    pub tasks: Vec<TaskFacts>,
    position: HashMap<String, usize>,
}

#[derive(Deserialize)]
struct Compiled {
    #[serde(default)]
    tasks: Vec<CompiledTask>,
}

#[derive(Deserialize)]
struct CompiledTask {
    id: String,
    #[serde(rename = "type")]
    task_type: String,
    #[serde(default)]
    depends_on: Vec<String>,
}

impl VersionFacts {
    /// From a version's compiled form. Fields that this does not need are passed over, so that a version of another build
    /// can still be shown.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] if it is no workflow.
    pub fn parse(version: VersionId, compiled: &str) -> Result<Self, StoreError> {
        let read: Compiled = serde_json::from_str(compiled).map_err(|error| StoreError::Inconsistent {
            table: "workflow_version",
            column: "compiled",
            id: version.to_string(),
            detail: error.to_string(),
        })?;
        let position: HashMap<String, usize> =
            read.tasks.iter().enumerate().map(|(at, task)| (task.id.clone(), at)).collect();
        let depths = depths(&read.tasks, &position);
        let tasks = read
            .tasks
            .into_iter()
            .zip(depths)
            .map(|(task, depth)| TaskFacts { id: task.id, task_type: task.task_type, depth })
            .collect();
        Ok(Self { tasks, position })
    }

    /// Position of a task.
    pub fn position(&self, task: &str) -> Option<usize> {
        self.position.get(task).copied()
    }
}

/// Longest ways from the roots: as many passes as the graph is deep, none of them beyond the number of tasks.
fn depths(tasks: &[CompiledTask], position: &HashMap<String, usize>) -> Vec<u32> {
    let mut depths = vec![0_u32; tasks.len()];
    for _ in 0..tasks.len() {
        let mut changed = false;
        for (at, task) in tasks.iter().enumerate() {
            let depth = task.depends_on.iter().filter_map(|up| position.get(up)).map(|&up| depths[up] + 1).max();
            if let Some(depth) = depth.filter(|depth| *depth > depths[at]) {
                depths[at] = depth;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    depths
}

/// Versions by number.
pub type FactsOf = BTreeMap<VersionId, Arc<VersionFacts>>;

/// Versions by number, the newest ones of those looked at.
#[derive(Debug, Default)]
pub struct FactsCache(Mutex<BTreeMap<i64, Arc<VersionFacts>>>);

/// Versions that are kept: a page of workflows, or the history of a few.
const KEPT: usize = 512;

impl FactsCache {
    /// Those of these versions that are known.
    pub fn known(&self, versions: &[VersionId]) -> FactsOf {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        versions.iter().filter_map(|version| Some((*version, Arc::clone(kept.get(&version.0)?)))).collect()
    }

    /// Keeps a version.
    pub fn keep(&self, version: VersionId, facts: Arc<VersionFacts>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            // The oldest version is the one least likely to be looked at again.
            kept.pop_first();
        }
        kept.insert(version.0, facts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_the_longest_way_from_a_root_whatever_the_file_order() {
        let compiled = r#"{"id":"w","max_active_runs":1,"tasks":[
            {"id":"d","type":"noop","depends_on":["b","c"]},{"id":"a","type":"noop"},
            {"id":"b","type":"noop","depends_on":["a"]},{"id":"c","type":"command","depends_on":["b"]}]}"#;
        let facts = VersionFacts::parse(VersionId(1), compiled).unwrap();
        let depths: Vec<(&str, u32)> = facts.tasks.iter().map(|task| (task.id.as_str(), task.depth)).collect();
        assert_eq!(depths, [("d", 3), ("a", 0), ("b", 1), ("c", 2)]);
        assert_eq!(facts.position("c"), Some(3));
        assert!(VersionFacts::parse(VersionId(2), "{}").unwrap().tasks.is_empty());
        assert!(VersionFacts::parse(VersionId(3), "no").is_err());
    }
}
