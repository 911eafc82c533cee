//! What every store must do, as a library: one test per case, the same for memory, SQLite and PostgreSQL.
//!
//! In the test file of a store (its package needs `updraft-store` with feature `conformance` and `tokio` as
//! dev-dependencies):
//!
//! ```ignore
//! async fn open() -> (Arc<dyn Store>, Arc<dyn Reader>, TempDir) { … } // an empty, migrated store; the third is kept alive
//! updraft_store::conformance!(open);
//! ```
//!
//! Rules that the cases fix and the traits leave open:
//! - rows of one run come in the order of `(task_id, map_index)`, then `dispatch_no`, then the order of recording, by
//!   bytes; claimed and picked rows in the order of `(rank, run_id, task_id, map_index)`, the first id to the first row;
//! - a pick sees the rows that were ready before the batch;
//! - a run that moved on is `Contended` whatever its fences are; a `run_id` that exists is `KeyTaken`;
//! - [`crate::check`] is called before anything is sent;
//! - `LoadedRun` of a cancelling lane is what it was before the lane touched `work`;
//! - a metric recorded twice under the same task, name and labels keeps the last value, also inside one batch;
//! - a timer that becomes ready keeps its rank.

mod commits;
mod world;

pub use world::World;

/// What a factory makes: a store, its reader, and what must live as long; or nothing, after a loud skip, where a store
/// needs a server that is not to be had.
pub trait Opened {
    /// What lives as long as the store.
    type Kept;

    /// The store, if there is one.
    fn opened(self) -> Option<Parts<Self::Kept>>;
}

/// A store, its reader, and what must live as long.
pub type Parts<K> = (std::sync::Arc<dyn crate::Store>, std::sync::Arc<dyn crate::Reader>, K);

impl<K> Opened for Parts<K> {
    type Kept = K;

    fn opened(self) -> Option<Self> {
        Some(self)
    }
}

impl<K> Opened for Option<Parts<K>> {
    type Kept = K;

    fn opened(self) -> Self {
        self
    }
}

/// The cases by module, for the macro.
pub mod case {
    pub use super::commits::*;
}

/// Makes one test of each case, for a factory of an empty store: see [`crate::conformance`](mod@crate::conformance).
#[macro_export]
macro_rules! conformance {
    ($open:path) => {
        $crate::conformance_cases! { $open,
            a_new_run_is_written_with_all_its_rows,
            a_taken_run_key_writes_nothing,
            a_hop_ends_an_attempt_and_dispatches_the_next,
            a_chain_of_hops_costs_one_commit_and_one_round_trip_each,
            a_stale_version_writes_nothing,
            the_right_version_with_a_wrong_stamp_writes_nothing,
        }
    };
}

/// One test a name.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($open:path, $($case:ident),+ $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let opened = $crate::conformance::Opened::opened($open().await);
            let Some((store, reader, kept_alive)) = opened else { return };
            let world = $crate::conformance::World::new(store, reader).await;
            $crate::conformance::case::$case(&world).await;
            world.close().await;
            drop(kept_alive);
        }
    )+ };
}
