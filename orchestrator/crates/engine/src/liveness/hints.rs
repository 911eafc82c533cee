//! Hints from other connections and processes.

use std::sync::Arc;

use futures::StreamExt;
use updraft_store::Wake;

use crate::committer::Command;
use crate::shared::{Phase, Shared};

/// Passes on hints until the store's stream ends.
pub(crate) async fn listen(shared: Arc<Shared>) {
    let mut wakes = shared.config.store.wakes();
    while let Some(wake) = wakes.next().await {
        match wake {
            Wake::Cancel(worker_no) if worker_no == shared.worker_no() => shared.beat_wanted.notify_one(),
            Wake::Cancel(_) => {}
            Wake::Queue(queue) => shared.command(Command::Look(Some(queue))),
            Wake::Run(run_id) => {
                if shared.config.poll.is_some() {
                    shared.command(Command::Changed(Some(run_id)));
                }
            }
            Wake::Followed(run_id) => shared.shipping.followed(run_id),
            Wake::Everything => {
                shared.beat_wanted.notify_one();
                shared.command(Command::Look(None));
                shared.command(Command::Changed(None));
            }
        }
    }
    if shared.phase() < Phase::Stopped {
        shared.warn(None, "the store sends no more hints; looks at intervals go on");
    }
}
