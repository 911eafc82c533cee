//! Retry policies and the wait before the next try.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{RunId, TaskKey};

/// How the wait grows from try to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// `delay`, each time.
    Constant,
    /// `delay · n`.
    Linear,
    /// `delay · factor^(n−1)`.
    #[default]
    Exponential,
}

/// What follows a failed attempt. `n` counts tries from 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryPolicy {
    /// Tries after the first one.
    pub limit: u32,
    /// First wait.
    #[serde(with = "crate::span::text")]
    pub delay: Duration,
    /// Growth of the wait.
    pub backoff: Backoff,
    /// Base of exponential growth, ≥ 1.
    pub factor: f64,
    /// Longest wait, before jitter.
    #[serde(with = "crate::span::text")]
    pub max_delay: Duration,
    /// Share of the wait that is added at random, 0…1.
    pub jitter: f64,
    /// Error classes that may be retried; empty = every retryable error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retry_on: Vec<String>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            limit: 0,
            delay: Duration::from_secs(30),
            backoff: Backoff::Exponential,
            factor: 2.0,
            max_delay: Duration::from_mins(10),
            jitter: 0.2,
            retry_on: Vec::new(),
        }
    }
}

impl RetryPolicy {
    /// Whether an error of this class may be retried (tries left or not).
    pub fn covers(&self, class: &str) -> bool {
        self.retry_on.is_empty() || self.retry_on.iter().any(|listed| listed == class)
    }

    /// The wait after failed try `try_no` (1 = the first) with `u` in 0…1 from [`jitter_unit`].
    pub fn wait(&self, try_no: u32, u: f64) -> Duration {
        let n = f64::from(try_no.max(1));
        let base = self.delay.as_secs_f64()
            * match self.backoff {
                Backoff::Constant => 1.0,
                Backoff::Linear => n,
                Backoff::Exponential => self.factor.powf(n - 1.0),
            };
        let capped = base.min(self.max_delay.as_secs_f64());
        Duration::try_from_secs_f64(capped * self.jitter.mul_add(u, 1.0)).unwrap_or(self.max_delay)
    }
}

/// The random share of a wait, in 0…1, the same wherever it is computed: the first 53 bits of
/// blake3(run, task, map index, generation, try) / 2^53.
pub fn jitter_unit(run: RunId, key: &TaskKey, generation: u32, try_no: u32) -> f64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(run.0.as_bytes());
    hasher.update(&(key.task.as_str().len() as u64).to_be_bytes());
    hasher.update(key.task.as_str().as_bytes());
    hasher.update(&key.map_index.0.to_be_bytes());
    hasher.update(&generation.to_be_bytes());
    hasher.update(&try_no.to_be_bytes());
    let hash = hasher.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
    {
        (u64::from_be_bytes(first) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
