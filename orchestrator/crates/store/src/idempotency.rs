//! Keys under which a request may be made again without being carried out again.

use async_trait::async_trait;
use updraft_model::id::RunId;
use updraft_model::time::Timestamp;

use crate::StoreError;

/// A key that somebody took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenKey {
    /// Whose: two principals do not share keys.
    pub owner: String,
    /// The key, as the caller made it.
    pub key: String,
    /// sha-256 (hex) of the request.
    pub request: String,
    /// The run that it makes.
    pub run_id: RunId,
    /// When it was taken.
    pub at: Timestamp,
}

/// Longest key.
pub const KEY_BYTES: usize = 200;

/// Keys of requests.
#[async_trait]
pub trait Idempotency: Send + Sync + 'static {
    /// Takes a key; `Some`: it was taken before, by this request. Of many at once one gets it.
    async fn take_key(&self, key: &TakenKey) -> Result<Option<TakenKey>, StoreError>;

    /// Gives a key back whose request was refused, if it still is of that run.
    async fn give_key_back(&self, key: &TakenKey) -> Result<(), StoreError>;

    /// Forgets keys that were taken before an instant; says how many. For the daemon's upkeep.
    async fn forget_keys(&self, before: Timestamp) -> Result<u64, StoreError>;
}
