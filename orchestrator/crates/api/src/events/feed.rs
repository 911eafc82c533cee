//! The newest commits of the runs that are followed: read and written out once, however many streams follow.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use updraft_model::id::RunId;
use updraft_store::{History, StoreError};

use super::event_entry;

/// Commits read at one time.
pub(crate) const PAGE: u32 = 200;
/// Commits kept of each run for streams that are a little behind.
const KEPT: usize = 400;

/// The runs that somebody follows.
#[derive(Default)]
pub(crate) struct Feeds(Mutex<HashMap<RunId, Weak<Feed>>>);

impl Feeds {
    /// A run's feed; it lives as long as somebody has it.
    pub(crate) fn of(&self, run: RunId) -> Arc<Feed> {
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = feeds.get(&run).and_then(Weak::upgrade) {
            return feed;
        }
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let feed = Arc::new(Feed { run, kept: tokio::sync::Mutex::default() });
        feeds.insert(run, Arc::downgrade(&feed));
        feed
    }
}

/// One run's newest commits.
pub(crate) struct Feed {
    run: RunId,
    /// In order, without a gap; locked while more is read, so that others wait for it instead of reading the same.
    kept: tokio::sync::Mutex<VecDeque<Arc<Commit>>>,
}

/// A commit as streams send it.
pub(crate) struct Commit {
    /// The run's version behind it.
    pub version: u64,
    /// The entry as JSON.
    pub data: String,
}

impl Feed {
    /// Commits behind a version, oldest first. Fewer than [`PAGE`] means that there were no more.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn behind(&self, history: &dyn History, after: u64) -> Result<Vec<Arc<Commit>>, StoreError> {
        let mut kept = self.kept.lock().await;
        let ends = kept.front().zip(kept.back()).map(|(first, last)| (first.version, last.version));
        match ends {
            // A stream that resumes long ago reads by itself.
            Some((first, _)) if after + 1 < first => {
                drop(kept);
                self.read(history, after).await
            }
            Some((_, last)) if after < last => {
                let from = kept.partition_point(|commit| commit.version <= after);
                Ok(kept.iter().skip(from).take(PAGE as usize).cloned().collect())
            }
            // A version that the run has not reached: nothing, and nothing to keep.
            Some((_, last)) if after > last => {
                drop(kept);
                self.read(history, after).await
            }
            Some(_) | None => {
                let read = self.read(history, after).await?;
                kept.extend(read.iter().cloned());
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
                Ok(read)
            }
        }
    }

    async fn read(&self, history: &dyn History, after: u64) -> Result<Vec<Arc<Commit>>, StoreError> {
        let entries = history.events(self.run, after, PAGE).await?;
        entries
            .into_iter()
            .map(|entry| {
                let version = entry.version;
                let data = serde_json::to_string(&event_entry(entry))
                    .map_err(|error| StoreError::Other(format!("an event cannot be written: {error}")))?;
                Ok(Arc::new(Commit { version, data }))
            })
            .collect()
    }
}
