//! The permanent thread that starts every child and ends every tree.

use std::sync::mpsc;

use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use super::tree;

enum Order {
    Spawn(Box<Command>, oneshot::Sender<std::io::Result<Child>>),
    KillTree { session: u32, token: String, done: Option<oneshot::Sender<()>> },
}

/// A handle on the thread; the thread ends, and with it every child, when the last handle is gone.
pub(crate) struct Spawner {
    orders: mpsc::Sender<Order>,
}

impl Spawner {
    /// Starts the thread. Must be called inside the runtime that waits for the children.
    pub(crate) fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Handle::current();
        let (orders, inbox) = mpsc::channel();
        // Orphans of a tree come to us, so that the sweep can wait for them; without it they only take longer to go.
        if let Err(error) = nix::sys::prctl::set_child_subreaper(true) {
            tracing::debug!("not a subreaper: {error}");
        }
        std::thread::Builder::new().name("updraft-spawner".to_owned()).spawn(move || {
            let _inside = runtime.enter();
            for order in inbox {
                match order {
                    Order::Spawn(mut command, reply) => {
                        // Who asked may be gone: the child is then killed when the answer is dropped.
                        let _ = reply.send(command.spawn());
                    }
                    Order::KillTree { session, token, done } => {
                        tree::sweep(Some(session), &token);
                        if let Some(done) = done {
                            let _ = done.send(());
                        }
                    }
                }
            }
        })?;
        Ok(Self { orders })
    }

    pub(crate) async fn spawn(&self, command: Command) -> std::io::Result<Child> {
        let (reply, answer) = oneshot::channel();
        let gone = || std::io::Error::other("the spawner thread is gone");
        self.orders.send(Order::Spawn(Box::new(command), reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Kills a tree without waiting for it.
    pub(crate) fn kill_tree(&self, session: u32, token: String, done: Option<oneshot::Sender<()>>) {
        let _ = self.orders.send(Order::KillTree { session, token, done });
    }

    /// Kills a tree and waits until it is gone.
    pub(crate) async fn tree_killed(&self, session: u32, token: String) {
        let (done, killed) = oneshot::channel();
        self.kill_tree(session, token, Some(done));
        let _ = killed.await;
    }
}
