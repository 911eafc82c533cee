//! A file of the lake for a reader that asks for one range after another: fetched in blocks, each once, until there are too
//! many of them or it is too late.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use tokio::runtime::Handle;
use tokio::time::Instant;
use updraft_task::Lake;

use super::FETCHED_BYTES;

/// Bytes that are fetched at least: a page of most files, with its header.
const BLOCK: u64 = 256 << 10;

#[derive(Default)]
struct Fetched {
    blocks: BTreeMap<u64, Bytes>,
    bytes: u64,
    /// Why nothing more is fetched.
    refused: Option<String>,
}

struct File {
    store: Arc<dyn ObjectStore>,
    key: Key,
    size: u64,
    until: Instant,
    runtime: Handle,
    fetched: Mutex<Fetched>,
}

/// See the module. Only for threads that may block.
#[derive(Clone)]
pub(super) struct Blocks(Arc<File>);

impl Blocks {
    /// On the runtime that this is called on.
    pub(super) fn new(lake: &Lake, key: Key, size: u64, until: Instant) -> Self {
        let store = Arc::clone(lake.store());
        Self(Arc::new(File { store, key, size, until, runtime: Handle::current(), fetched: Mutex::default() }))
    }

    /// Why the reader did not get what it asked for, if it was not for the file itself.
    pub(super) fn refused(&self) -> Option<String> {
        self.0.fetched.lock().unwrap_or_else(PoisonError::into_inner).refused.clone()
    }

    /// These bytes of the file; fewer at its end.
    pub(super) fn range(&self, start: u64, length: u64) -> Result<Bytes, ParquetError> {
        let file = &*self.0;
        let end = start.saturating_add(length).min(file.size);
        if start >= end {
            return Ok(Bytes::new());
        }
        let mut fetched = file.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = start / BLOCK..=(end - 1) / BLOCK;
        let missing: Vec<u64> = wanted.clone().filter(|at| !fetched.blocks.contains_key(at)).collect();
        if let (Some(&first), Some(&last)) = (missing.first(), missing.last())
            && let Err(why) = file.fetch(&mut fetched, first, last)
        {
            fetched.refused.get_or_insert_with(|| why.clone());
            return Err(ParquetError::General(why));
        }
        let mut out = BytesMut::new();
        for at in wanted {
            let Some(block) = fetched.blocks.get(&at) else { break };
            let from = start.saturating_sub(at * BLOCK).min(block.len() as u64);
            let to = (end - at * BLOCK).min(block.len() as u64);
            let part = block.slice(index(from)..index(to));
            if part.len() as u64 == end - start {
                return Ok(part);
            }
            out.extend_from_slice(&part);
        }
        Ok(out.freeze())
    }
}

/// A place inside a block.
fn index(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

impl File {
    fn fetch(&self, fetched: &mut Fetched, first: u64, last: u64) -> Result<(), String> {
        let range = first * BLOCK..((last + 1) * BLOCK).min(self.size);
        let bytes = range.end - range.start;
        if fetched.bytes + bytes > FETCHED_BYTES {
            return Err(format!("more than {} MiB of the file would have to be read", FETCHED_BYTES >> 20));
        }
        let late = || "it took longer than its time limit".to_owned();
        // `timeout_at` asks once even when the time is over.
        if Instant::now() >= self.until {
            return Err(late());
        }
        let get = tokio::time::timeout_at(self.until, self.store.get_range(&self.key, range));
        let got = self
            .runtime
            .block_on(get)
            .map_err(|_| late())?
            .map_err(|error| format!("the lake cannot be read: {error}"))?;
        fetched.bytes += bytes;
        for at in first..=last {
            let from = (at - first) * BLOCK;
            let to = (from + BLOCK).min(got.len() as u64);
            if from < to {
                fetched.blocks.insert(at, got.slice(index(from)..index(to)));
            }
        }
        Ok(())
    }
}

impl Length for Blocks {
    fn len(&self) -> u64 {
        self.0.size
    }
}

/// Reads on from a place.
pub(super) struct Cursor {
    blocks: Blocks,
    at: u64,
}

impl Read for Cursor {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        // To the end of this block: what lies behind is fetched when it is asked for.
        let length = (BLOCK - self.at % BLOCK).min(out.len() as u64);
        let bytes = self.blocks.range(self.at, length).map_err(std::io::Error::other)?;
        out[..bytes.len()].copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}

impl ChunkReader for Blocks {
    type T = Cursor;

    fn get_read(&self, start: u64) -> Result<Cursor, ParquetError> {
        Ok(Cursor { blocks: self.clone(), at: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.range(start, length as u64)?;
        if bytes.len() != length {
            return Err(ParquetError::EOF(format!(
                "{length} bytes are expected at byte {start}, {} are there",
                bytes.len()
            )));
        }
        Ok(bytes)
    }
}
