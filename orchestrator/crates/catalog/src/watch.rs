//! Hints that something under the folders changed. Losing one costs latency: the service looks by itself every 30 s.

use std::path::{Path, PathBuf};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// Watches folders as long as it lives.
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: Vec<PathBuf>,
}

impl Watch {
    /// Sends a hint for every change; where the system cannot watch, the reason is logged and looks at intervals remain.
    pub(crate) fn new(hints: mpsc::Sender<()>) -> Self {
        let heard = move |event: notify::Result<Event>| {
            let matters = match event {
                Ok(event) => !matches!(event.kind, EventKind::Access(_)),
                // The queue of the kernel ran over, or a folder went away: look.
                Err(_) => true,
            };
            if matters {
                // A full channel holds a hint already.
                let _ = hints.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(heard)
            .inspect_err(
                |error| tracing::warn!(%error, "workflow folders cannot be watched; they are looked at every 30 s"),
            )
            .ok();
        Self { watcher, watched: Vec::new() }
    }

    /// Watches the folders that exist and are not watched yet.
    pub(crate) fn cover(&mut self, folders: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        self.watched.retain(|folder| {
            let there = folder.is_dir();
            if !there {
                let _ = watcher.unwatch(folder);
            }
            there
        });
        for folder in folders {
            if self.watched.contains(folder) || !folder.is_dir() {
                continue;
            }
            match watcher.watch(Path::new(folder), RecursiveMode::Recursive) {
                Ok(()) => self.watched.push(folder.clone()),
                Err(error) => {
                    tracing::warn!(folder = %folder.display(), %error, "this folder cannot be watched; it is looked at every 30 s");
                }
            }
        }
    }
}
