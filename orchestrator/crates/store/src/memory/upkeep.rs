//! The upkeep's side of the memory store.

use async_trait::async_trait;
use updraft_model::id::RunId;
use updraft_model::time::Timestamp;

use super::MemoryStore;
use crate::logs::{LogChunk, LogKey, first_run_at};
use crate::upkeep::{COMPACTED_BYTES, Turn, Upkeep};
use crate::{Purpose, StoreError};

#[async_trait]
impl Upkeep for MemoryStore {
    async fn turn(&self, _: &str) -> Result<Option<Turn>, StoreError> {
        Ok(Some(Turn::alone()))
    }

    async fn refresh_statistics(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn purge_runs(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let gone = self.tables().purge_runs(before, limit);
        self.count(Purpose::Admin, gone > 0);
        Ok(gone)
    }

    async fn scattered_logs(&self, from: RunId, before: Timestamp, limit: u32) -> Result<Vec<LogKey>, StoreError> {
        self.count(Purpose::Read, false);
        let tables = self.tables();
        let scattered = tables.logs.iter().filter(|(key, log)| {
            let (info, pieces) = (&log.info, log.chunks.len() as u64);
            let bytes: u64 = log.chunks.values().map(|chunk| chunk.bytes).sum();
            key.run_id >= from
                && key.run_id < first_run_at(before)
                && info.complete
                && info.updated_at < before
                && pieces > if info.gap.is_some() { 2 } else { 1 }
                && 2 * bytes < pieces * COMPACTED_BYTES
        });
        Ok(scattered.map(|(key, _)| key.clone()).take(limit as usize).collect())
    }

    async fn replace_chunks(&self, log: &LogKey, whole: &LogChunk) -> Result<(), StoreError> {
        if let Some(log) = self.tables().logs.get_mut(log) {
            log.chunks.retain(|offset, _| *offset < whole.offset || *offset >= whole.end());
            log.chunks.insert(whole.offset, whole.clone());
        }
        self.count(Purpose::Logs, true);
        Ok(())
    }
}
