//! Bounded caches: run states for deciding, outputs for templates. Anything may be dropped at any time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use updraft_model::id::{RunId, TaskKey};
use updraft_task::RunInfo;

use updraft_model::record::Dispatch;
use updraft_model::run::{Run, Slot};

use crate::plan::Plan;
use crate::shared::locked;

/// A map with a bound in bytes; what was not used for longest goes first.
pub(crate) struct Lru<K, V> {
    entries: HashMap<K, (V, usize, u64)>,
    bytes: usize,
    limit: usize,
    tick: u64,
}

impl<K: Eq + Hash + Clone, V> Lru<K, V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: HashMap::new(), bytes: 0, limit, tick: 0 }
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.tick += 1;
        let entry = self.entries.get_mut(key)?;
        entry.2 = self.tick;
        Some(&mut entry.0)
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// Puts it in without throwing anything out; see [`Lru::trim`].
    pub(crate) fn insert(&mut self, key: K, value: V, bytes: usize) {
        self.tick += 1;
        self.remove(&key);
        self.bytes += bytes;
        self.entries.insert(key, (value, bytes, self.tick));
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (value, bytes, _) = self.entries.remove(key)?;
        self.bytes -= bytes;
        Some(value)
    }

    /// Throws out the oldest until the bound is kept.
    pub(crate) fn trim(&mut self) {
        if self.bytes <= self.limit {
            return;
        }
        let mut by_age: Vec<(u64, K)> = self.entries.iter().map(|(key, (_, _, at))| (*at, key.clone())).collect();
        by_age.sort_unstable_by_key(|(at, _)| *at);
        // A quarter more than needed, so that the next insert does not sort again.
        for (_, key) in by_age {
            if self.bytes <= self.limit / 4 * 3 {
                break;
            }
            self.remove(&key);
        }
    }
}

/// A run as the committer knows it.
pub(crate) struct CachedRun {
    pub run: Run,
    pub plan: Arc<Plan>,
    pub info: Arc<RunInfo>,
}

impl CachedRun {
    /// Whether this dispatch is the current one, as far as is known.
    pub(crate) fn knows(&self, dispatch: &Dispatch) -> bool {
        let slot = self.run.slot_of(&dispatch.key);
        matches!(slot, Some(Slot::Dispatched(numbers)) if numbers.dispatch_no == dispatch.dispatch_no)
    }

    /// A rough size, for the bound.
    pub(crate) fn bytes(&self) -> usize {
        self.run.compiled().graph.len() * 160 + self.run.facts().conf.len() * 2 + 1024
    }
}

type OutputKey = (RunId, TaskKey, u32);

/// Outputs of attempts; immutable, so never wrong.
pub(crate) struct Outputs(Mutex<Lru<OutputKey, Arc<Value>>>);

impl Outputs {
    pub(crate) fn new(limit: usize) -> Self {
        Self(Mutex::new(Lru::new(limit)))
    }

    pub(crate) fn get(&self, run_id: RunId, key: &TaskKey, dispatch_no: u32) -> Option<Arc<Value>> {
        locked(&self.0).get_mut(&(run_id, key.clone(), dispatch_no)).cloned()
    }

    pub(crate) fn put(&self, run_id: RunId, key: TaskKey, dispatch_no: u32, value: Arc<Value>, bytes: usize) {
        let mut outputs = locked(&self.0);
        outputs.insert((run_id, key, dispatch_no), value, bytes * 3 + 200);
        outputs.trim();
    }
}

#[cfg(test)]
mod tests {
    use super::Lru;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut lru = Lru::new(30);
        for key in 0..3 {
            lru.insert(key, (), 10);
        }
        assert!(lru.get_mut(&0).is_some());
        lru.insert(3, (), 10);
        lru.trim();
        assert!(lru.contains(&0) && lru.contains(&3));
        assert!(!lru.contains(&1) && !lru.contains(&2));
    }
}
