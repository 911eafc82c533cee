//! Hints that something under the folders changed. Losing one costs latency: the service looks by itself every 30 s.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// Which folder a name stands for: its device and inode. Another one under the same name must be watched anew.
type Identity = (u64, u64);

/// Watches folders as long as it lives.
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    folders: Arc<[PathBuf]>,
    watched: BTreeMap<PathBuf, Identity>,
}

impl Watch {
    /// Sends a hint for every change; where the system cannot watch, the reason is logged and looks at intervals remain.
    pub(crate) fn new(hints: mpsc::Sender<()>, folders: Vec<PathBuf>) -> Self {
        let folders: Arc<[PathBuf]> = folders.into();
        let ours = Arc::clone(&folders);
        let heard = move |event: notify::Result<Event>| {
            // An error: the queue of the kernel ran over, or a folder went away: look.
            if event.map_or(true, |event| matters(&event, &ours)) {
                // A full channel holds a hint already.
                let _ = hints.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(heard)
            .inspect_err(
                |error| tracing::warn!(%error, "workflow folders cannot be watched; they are looked at every 30 s"),
            )
            .ok();
        Self { watcher, folders, watched: BTreeMap::new() }
    }

    /// Watches the folders that exist and are not watched yet, and what would put another one in their place.
    pub(crate) fn cover(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut wanted: BTreeMap<PathBuf, RecursiveMode> = BTreeMap::new();
        for folder in self.folders.iter() {
            // The folder may be removed and come back, and a link on the way to it may be turned to another place.
            let links = folder.ancestors().skip(1).filter(|above| above.is_symlink()).filter_map(Path::parent);
            for above in folder.parent().into_iter().chain(links) {
                wanted.insert(above.to_owned(), RecursiveMode::NonRecursive);
            }
        }
        wanted.extend(self.folders.iter().map(|folder| (folder.clone(), RecursiveMode::Recursive)));
        for (path, mode) in wanted {
            let there = identity(&path);
            if self.watched.get(&path) == there.as_ref() {
                continue;
            }
            if self.watched.remove(&path).is_some() {
                // It may be gone, and with it what watched it.
                let _ = watcher.unwatch(&path);
            }
            let Some(there) = there else { continue };
            if let Err(error) = watcher.watch(&path, mode)
                && mode == RecursiveMode::Recursive
            {
                tracing::warn!(folder = %path.display(), %error, "this folder cannot be watched; it is looked at every 30 s");
            }
            // Also after an error: it is said once.
            self.watched.insert(path, there);
        }
    }
}

fn identity(path: &Path) -> Option<Identity> {
    let about = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_dir)?;
    Some((about.dev(), about.ino()))
}

/// Whether an event may have changed a workflow file: it is about something in a folder, or about what leads to one.
fn matters(event: &Event, folders: &[PathBuf]) -> bool {
    if matches!(event.kind, EventKind::Access(_)) {
        return false;
    }
    event.need_rescan() || event.paths.iter().any(|path| folders.iter().any(|folder| concerns(path, folder)))
}

/// What lies in hidden folders is no workflow file, and the store may lie in one.
fn concerns(path: &Path, folder: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(folder) else { return folder.starts_with(path) };
    let mut above = inside.components();
    above.next_back();
    !above.any(|one| one.as_os_str().to_string_lossy().starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_hidden_folders_is_no_hint_and_what_leads_to_a_folder_is() {
        let folder = Path::new("/srv/now/workflows");
        for hint in ["/srv/now/workflows/a.yaml", "/srv/now/workflows/..data", "/srv/now/workflows", "/srv/now"] {
            assert!(concerns(Path::new(hint), folder), "{hint}");
        }
        for none in ["/srv/now/workflows/.updraft/store.db-wal", "/srv/now/other", "/srv/other"] {
            assert!(!concerns(Path::new(none), folder), "{none}");
        }
    }
}
