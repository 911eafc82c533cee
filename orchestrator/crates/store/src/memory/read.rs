//! The readers' side of the memory store.

use async_trait::async_trait;
use updraft_model::id::{RunId, TaskKey, VersionId};

use super::MemoryStore;
use super::tables::{Run, Tables};
use crate::read::{HistoryEntry, Reader, RunDetail, RunFilter, RunView, VersionView};
use crate::{Purpose, StoreError};

fn view(tables: &Tables, run: &Run) -> RunView {
    let workflow = tables.workflow(run.row.facts.workflow_id).unwrap_or_default().to_owned();
    RunView { workflow, row: run.row.clone(), only: run.only.clone() }
}

#[async_trait]
impl Reader for MemoryStore {
    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunView>, StoreError> {
        self.count(Purpose::Read, false);
        let tables = self.tables();
        Ok(tables
            .runs
            .values()
            .rev()
            .map(|run| view(&tables, run))
            .filter(|run| filter.workflow.as_ref().is_none_or(|workflow| *workflow == run.workflow))
            .filter(|run| filter.states.is_empty() || filter.states.contains(&run.row.projection.state))
            .filter(|run| filter.before.is_none_or(|before| run.row.facts.run_id < before))
            .take(filter.limit as usize)
            .collect())
    }

    async fn run(&self, run: RunId) -> Result<Option<RunView>, StoreError> {
        self.count(Purpose::Read, false);
        let tables = self.tables();
        Ok(tables.runs.get(&run).map(|run| view(&tables, run)))
    }

    async fn runs_by_prefix(&self, prefix: &str) -> Result<Vec<RunId>, StoreError> {
        self.count(Purpose::Read, false);
        let digits = prefix.replace('-', "").to_lowercase();
        if digits.len() < 4 {
            return Ok(Vec::new());
        }
        let matches = |run: &&RunId| run.0.simple().to_string().starts_with(&digits);
        Ok(self.tables().runs.keys().rev().filter(matches).take(10).copied().collect())
    }

    async fn detail(&self, id: RunId) -> Result<Option<RunDetail>, StoreError> {
        self.count(Purpose::Read, false);
        let tables = self.tables();
        let Some((run, full)) = tables.runs.get(&id).zip(tables.full(id)) else { return Ok(None) };
        let of_run = |of: RunId| of == id;
        let items =
            tables.items.iter().filter(|((of, ..), _)| of_run(*of)).flat_map(|((_, key, dispatch_no), items)| {
                items.iter().map(move |item| (key.clone(), *dispatch_no, item.clone()))
            });
        let metrics = tables.metrics.iter().filter(|((of, ..), _)| of_run(*of));
        Ok(Some(RunDetail {
            run: view(&tables, run),
            expanded: crate::read::expanded(&full.task_runs, &full.cleared),
            task_runs: full.task_runs,
            work: full.work,
            attempts: tables.attempts.iter().filter(|((of, ..), _)| of_run(*of)).map(|(_, row)| row.clone()).collect(),
            items: items.collect(),
            metrics: metrics.map(|((_, task, ..), metric)| (task.clone(), metric.clone())).collect(),
        }))
    }

    async fn outputs(&self, run: RunId, of: &[(TaskKey, u32)]) -> Result<Vec<(TaskKey, String)>, StoreError> {
        self.count(Purpose::Read, false);
        let tables = self.tables();
        Ok(of
            .iter()
            .filter_map(|(key, dispatch_no)| {
                let attempt = tables.attempts.get(&(run, key.clone(), *dispatch_no))?;
                Some((key.clone(), attempt.output.clone()?))
            })
            .collect())
    }

    async fn history(&self, run: RunId, from: u64) -> Result<Vec<HistoryEntry>, StoreError> {
        self.count(Purpose::Read, false);
        Ok(self
            .tables()
            .log(run)
            .iter()
            .filter(|entry| entry.version >= from)
            .map(|entry| HistoryEntry {
                version: entry.version,
                at: entry.at,
                actor: entry.actor.clone(),
                events: entry.events.clone(),
            })
            .collect())
    }

    async fn version(&self, version: VersionId) -> Result<Option<VersionView>, StoreError> {
        self.count(Purpose::Read, false);
        Ok(self.tables().version(version).cloned())
    }
}
