//! The logs' side of the memory store.

use std::collections::BTreeMap;

use async_trait::async_trait;
use updraft_model::id::RunId;
use updraft_model::time::Timestamp;

use super::MemoryStore;
use crate::logs::{LogAt, LogChunk, LogInfo, LogKey, LogPart, Logs, first_run_at};
use crate::{Purpose, StoreError, Wake};

/// One log.
#[derive(Debug, Clone)]
pub(super) struct Log {
    pub(super) info: LogInfo,
    pub(super) chunks: BTreeMap<u64, LogChunk>,
}

#[async_trait]
impl Logs for MemoryStore {
    async fn append(&self, parts: &[LogPart], at: Timestamp) -> Result<(), StoreError> {
        let mut tables = self.tables();
        for part in parts {
            let log = tables.logs.entry(part.log.clone()).or_insert_with(|| Log {
                info: LogInfo { bytes: 0, lines: 0, first_error: None, gap: None, complete: false, updated_at: at },
                chunks: BTreeMap::new(),
            });
            for chunk in &part.chunks {
                log.chunks.entry(chunk.offset).or_insert_with(|| chunk.clone());
            }
            let info = &mut log.info;
            info.bytes = info.bytes.max(part.bytes);
            info.lines = info.lines.max(part.lines);
            info.complete |= part.complete;
            info.updated_at = at;
            if info.first_error.is_none() {
                info.first_error.clone_from(&part.first_error);
            }
            if let Some(gap) = part.gap {
                log.chunks.retain(|_, chunk| chunk.offset < gap.from || chunk.end() > gap.until);
                info.gap = Some(gap);
            }
        }
        drop(tables);
        self.count(Purpose::Logs, !parts.is_empty());
        Ok(())
    }

    async fn info(&self, log: &LogKey) -> Result<Option<LogInfo>, StoreError> {
        self.count(Purpose::Read, false);
        Ok(self.tables().logs.get(log).map(|log| log.info.clone()))
    }

    async fn infos(&self, run: RunId) -> Result<Vec<(LogKey, LogInfo)>, StoreError> {
        self.count(Purpose::Read, false);
        let tables = self.tables();
        let of_run = tables.logs.iter().filter(|(key, _)| key.run_id == run);
        Ok(of_run.map(|(key, log)| (key.clone(), log.info.clone())).collect())
    }

    async fn chunks(&self, log: &LogKey, from: LogAt, limit_bytes: u64) -> Result<Vec<LogChunk>, StoreError> {
        self.count(Purpose::Read, false);
        let tables = self.tables();
        let Some(log) = tables.logs.get(log) else { return Ok(Vec::new()) };
        let start = match from {
            LogAt::Offset(offset) => log.chunks.range(..=offset).next_back().map(|(offset, _)| *offset),
            LogAt::Line(line) => log.chunks.values().rfind(|chunk| chunk.first_line <= line).map(|chunk| chunk.offset),
        };
        let mut before = 0;
        Ok(log
            .chunks
            .range(start.unwrap_or(0)..)
            .map(|(_, chunk)| chunk.clone())
            .take_while(|chunk| {
                let takes = before == 0 || before < limit_bytes;
                before += chunk.bytes;
                takes
            })
            .collect())
    }

    async fn followed(&self, run: RunId) -> Result<(), StoreError> {
        self.wake(Wake::Followed(run));
        Ok(())
    }

    async fn purge_logs(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut tables = self.tables();
        let over: Vec<LogKey> = tables
            .logs
            .iter()
            .filter(|(key, log)| key.run_id < first_run_at(before) && log.info.updated_at < before)
            .filter(|(key, _)| tables.runs.get(&key.run_id).is_none_or(|run| run.row.projection.state.is_final()))
            .map(|(key, _)| key.clone())
            .take(limit as usize)
            .collect();
        for key in &over {
            tables.logs.remove(key);
        }
        drop(tables);
        self.count(Purpose::Logs, !over.is_empty());
        Ok(over.len() as u64)
    }
}
