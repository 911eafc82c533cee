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
//! - a pick sees the rows that were ready before the batch; the rows that a batch writes or removes are not among them
//!   (only lanes touch ready rows);
//! - a run that moved on is `Contended` whatever its fences are; a `run_id` that exists is `KeyTaken`;
//! - [`crate::check`] is called before anything is sent;
//! - `LoadedRun` of a cancelling lane is what it was before the lane touched `work`;
//! - a metric recorded twice under the same task, name and labels keeps the last value, also inside one batch;
//! - a timer that becomes ready keeps its rank.

pub mod accounts;
mod claims;
mod commits;
mod kept;
mod lanes;
mod loads;
pub mod logs;
mod readers;
mod reopens;
pub mod replays;
pub mod scheduling;
pub mod upkeep;
mod workers;
pub mod world;

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
    pub use super::claims::*;
    pub use super::commits::*;
    pub use super::kept::*;
    pub use super::lanes::*;
    pub use super::loads::*;
    pub use super::readers::*;
    pub use super::reopens::*;
    pub use super::replays::*;
    pub use super::workers::*;
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
            a_commit_to_a_missing_run_is_contended,
            a_wrong_fence_writes_nothing,
            a_stale_run_is_contended_whatever_its_fences,
            a_batch_is_all_or_nothing,
            a_run_key_is_free_in_another_workflow,
            a_retry_updates_its_row_in_place,
            a_pick_takes_the_best_rows_that_were_ready_before,
            a_refused_batch_picks_nothing,
            an_inactive_worker_may_finish_but_not_claim,
            items_metrics_and_outputs_are_kept,
            a_metric_measured_twice_in_a_batch_keeps_the_last,
            the_chosen_tasks_are_kept,
            the_end_of_a_run_is_kept,
            what_the_model_forbids_is_rejected_and_nothing_written,
            text_of_any_kind_comes_back_as_it_went_in,
            a_wide_run_is_committed_in_wide_batches,
            of_equal_commits_at_once_one_is_applied,
            many_runs_hop_at_once,
            claims_go_by_rank_and_then_by_key,
            a_claim_takes_only_ready_rows_of_its_queue,
            claims_at_once_are_disjoint,
            an_inactive_worker_claims_nothing,
            looking_for_work_in_vain_is_no_commit,
            timers_become_ready_when_they_are_due,
            next_due_names_the_earliest_of_everything,
            a_lane_sees_the_run_as_it_is_and_writes,
            a_lane_that_decides_nothing_changes_nothing,
            a_cancelling_lane_deletes_what_waits_and_flags_what_executes,
            a_reaping_lane_lists_the_rows_of_one_worker,
            a_lane_on_a_missing_run_says_so,
            a_lane_with_a_broken_fence_writes_nothing,
            lanes_of_one_run_wait_for_each_other,
            a_lane_can_end_a_run,
            a_run_that_did_not_move_is_unchanged,
            a_run_slightly_behind_gets_its_tail,
            a_run_far_behind_gets_everything,
            a_forked_history_gets_everything,
            answers_come_in_the_order_of_the_question,
            an_outcome_tells_whether_a_commit_was_applied,
            a_worker_is_a_peer_until_it_leaves,
            a_beat_renews_the_lease_and_lists_what_must_run,
            condemning_needs_the_worker_to_look_as_seen,
            a_suspect_gets_no_work_until_it_beats_again,
            a_dead_worker_without_rows_is_no_peer,
            publishing_again_gives_the_same_numbers,
            publishing_at_once_makes_one_version,
            task_state_is_put_once_a_generation,
            task_state_is_put_by_the_attempt_that_executes,
            of_many_task_states_one_stands,
            shared_state_is_compared_and_set,
            of_many_setters_one_wins,
            kept_values_have_a_limit,
            a_bare_commit_is_counted_as_the_baseline,
            runs_come_newest_first_page_by_page,
            runs_are_filtered_by_workflow_and_state,
            runs_are_found_by_the_beginning_of_their_id,
            a_run_that_is_not_there_has_no_detail,
            outputs_are_read_by_key_and_number,
            history_is_read_from_a_version_on,
            the_log_of_a_real_run_replays_to_its_rows,
            the_log_of_a_cancelled_run_replays_to_its_rows,
            a_re_opened_run_is_open_again_and_takes_its_queue,
            a_cleared_task_run_is_not_over_until_it_ends_again,
            a_run_goes_on_with_a_newer_version,
            a_mapped_task_is_kept_with_its_instances,
            a_marking_lane_ends_attempts_and_wakes_their_workers,
            a_clearing_lane_keeps_claims_away,
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
