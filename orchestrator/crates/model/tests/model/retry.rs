//! The wait before the next try.

use std::time::Duration;

use updraft_model::id::{MapIndex, TaskKey};
use updraft_model::retry::{Backoff, RetryPolicy, jitter_unit};

use super::support::facts;

fn waits(policy: &RetryPolicy, u: f64) -> Vec<u128> {
    (1..=5).map(|try_no| policy.wait(try_no, u).as_millis()).collect()
}

#[test]
fn the_wait_grows_as_the_backoff_says_and_stops_at_the_longest() {
    let policy = |backoff| RetryPolicy {
        delay: Duration::from_secs(10),
        backoff,
        factor: 3.0,
        max_delay: Duration::from_secs(100),
        jitter: 0.5,
        ..RetryPolicy::default()
    };
    for (backoff, plain) in [
        (Backoff::Constant, [10, 10, 10, 10, 10]),
        (Backoff::Linear, [10, 20, 30, 40, 50]),
        (Backoff::Exponential, [10, 30, 90, 100, 100]),
    ] {
        assert_eq!(waits(&policy(backoff), 0.0), plain.map(|s| s * 1_000), "{backoff:?} without luck");
        assert_eq!(waits(&policy(backoff), 1.0), plain.map(|s| s * 1_500), "{backoff:?} with all of it");
    }
}

#[test]
fn a_policy_that_overflows_waits_its_longest() {
    let policy = RetryPolicy { factor: 1e300, jitter: 0.0, ..RetryPolicy::default() };
    assert_eq!(policy.wait(u32::MAX, 0.0), policy.max_delay);
}

#[test]
fn the_random_share_lies_in_0_to_1_and_differs_from_try_to_try_and_task_to_task() {
    let run = facts().run_id;
    let mut seen = std::collections::BTreeSet::new();
    for task in ["a", "b"] {
        for index in [-1, 0] {
            for generation in 0..3 {
                for try_no in 1..10 {
                    let key = TaskKey { map_index: MapIndex(index), ..TaskKey::of(task) };
                    let u = jitter_unit(run, &key, generation, try_no);
                    assert!((0.0..1.0).contains(&u), "{u}");
                    seen.insert(u.to_bits());
                }
            }
        }
    }
    assert_eq!(seen.len(), 108);
}
