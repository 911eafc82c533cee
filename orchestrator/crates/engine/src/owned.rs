//! An attempt that this worker has claimed, and the way to stop it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use updraft_model::id::{RunId, TaskKey};

/// Why an attempt is stopped. A later, stronger reason wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// It is not.
    No,
    /// It passed its time limit.
    Timeout,
    /// Its run is being cancelled.
    Cancel,
    /// The lease may have run out: kill, `lost`; whether that counts is for the store to say.
    LeaseLost,
    /// The engine is being aborted: kill, `lost`, cause `drained`.
    Abort,
    /// The store no longer knows it as ours: kill, no result.
    Fenced,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Owned {
    pub run_id: RunId,
    pub key: TaskKey,
    pub dispatch_no: u32,
    pub claimed: Instant,
    /// A second execution is harmless: it goes on when the lease is in doubt (F34).
    pub repeatable: bool,
    pub token: CancellationToken,
    stop: AtomicU8,
}

impl Owned {
    pub(crate) fn new(run_id: RunId, key: TaskKey, dispatch_no: u32, repeatable: bool) -> Self {
        Self {
            run_id,
            key,
            dispatch_no,
            claimed: Instant::now(),
            repeatable,
            token: CancellationToken::new(),
            stop: AtomicU8::new(0),
        }
    }

    pub(crate) fn stop(&self, why: Stop) {
        self.stop.fetch_max(why as u8, Ordering::AcqRel);
        self.token.cancel();
    }

    pub(crate) fn why(&self) -> Stop {
        match self.stop.load(Ordering::Acquire) {
            0 => Stop::No,
            1 => Stop::Timeout,
            2 => Stop::Cancel,
            3 => Stop::LeaseLost,
            4 => Stop::Abort,
            _ => Stop::Fenced,
        }
    }
}
