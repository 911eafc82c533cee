//! Parts of the work of attempts that run here, as they are now. Nothing of it is stored: what stays is recorded with the result.

use std::collections::HashMap;
use std::sync::Mutex;

use updraft_model::id::{RunId, TaskKey};
use updraft_model::record::{Dispatch, TaskItem};

use crate::shared::locked;

/// Items of one attempt that are shown at most; a project with more shows those that were heard of first.
const MOST: usize = 10_000;

/// The items of each attempt, in the order of their beginning.
#[derive(Default)]
pub(crate) struct LiveItems(Mutex<HashMap<(RunId, TaskKey), (u32, Vec<TaskItem>)>>);

impl LiveItems {
    /// Shows an item in place of the one of its kind and name. A new attempt begins anew.
    pub(crate) fn put(&self, run_id: RunId, dispatch: &Dispatch, item: TaskItem) {
        let mut all = locked(&self.0);
        let (dispatch_no, items) = all.entry((run_id, dispatch.key.clone())).or_default();
        if *dispatch_no != dispatch.dispatch_no {
            *dispatch_no = dispatch.dispatch_no;
            items.clear();
        }
        // From the end: what changes is as a rule what has begun last.
        match items.iter().rposition(|known| known.kind == item.kind && known.name == item.name) {
            Some(at) => items[at] = item,
            None if items.len() < MOST => items.push(item),
            None => {}
        }
    }

    /// The attempt is over.
    pub(crate) fn forget(&self, run_id: RunId, dispatch: &Dispatch) {
        let mut all = locked(&self.0);
        let key = (run_id, dispatch.key.clone());
        if all.get(&key).is_some_and(|(dispatch_no, _)| *dispatch_no == dispatch.dispatch_no) {
            all.remove(&key);
        }
    }

    /// What an attempt shows; nothing if it does not run here.
    pub(crate) fn of(&self, run_id: RunId, key: &TaskKey, dispatch_no: u32) -> Vec<TaskItem> {
        let all = locked(&self.0);
        let shown = all.get(&(run_id, key.clone())).filter(|(shown, _)| *shown == dispatch_no);
        shown.map(|(_, items)| items.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_stands_once_and_goes_with_its_attempt() {
        let run_id = RunId(uuid::Uuid::from_u128(1));
        let attempt = |dispatch_no| Dispatch {
            key: TaskKey::of("build"),
            dispatch_no,
            try_no: dispatch_no,
            losses: 0,
            generation: 0,
        };
        let item = |name: &str, state: &str| TaskItem {
            kind: "dbt_model".to_owned(),
            name: name.to_owned(),
            state: state.to_owned(),
            seconds: None,
            value: None,
            message: None,
        };
        let live = LiveItems::default();
        for (name, state) in [("a", "running"), ("b", "running"), ("a", "success")] {
            live.put(run_id, &attempt(1), item(name, state));
        }
        let of = |no| live.of(run_id, &TaskKey::of("build"), no);
        assert_eq!(of(1), [item("a", "success"), item("b", "running")]);
        assert_eq!(of(2), []);
        live.put(run_id, &attempt(2), item("a", "running"));
        // The first attempt's end comes late: it takes nothing of the second's.
        live.forget(run_id, &attempt(1));
        assert_eq!((of(1), of(2)), (vec![], vec![item("a", "running")]));
        live.forget(run_id, &attempt(2));
        assert_eq!(of(2), []);
    }
}
